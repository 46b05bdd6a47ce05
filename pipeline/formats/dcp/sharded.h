/* Shards of Hugging Face files that a distributed checkpoint left (sharded.c has the format). */
#ifndef SINEW_SHARDED_H
#define SINEW_SHARDED_H

/* Local. Does folder `in` of dir ("" for itself, else ending in a slash) hold such shards? Then the name of
 * one from dir on. */
int sharded_find(const char *dir, const char *in, char *name, int size);

#endif
