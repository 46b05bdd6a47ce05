/* Head: the matrix that turns a model's last state into logits, and the embedding to which it may be tied.
 *
 * A model with tied embeddings has one matrix for both. Its checkpoint holds it once, or twice: as one
 * storage under two names, or as two equal copies; training that broke the tie leaves a head that drifted
 * from the embedding. Only the last is a parameter of its own. */
#ifndef SINEW_HEAD_H
#define SINEW_HEAD_H

#include "formats/checkpoint.h"

/* Local, pure. Is that what a head, or an embedding of tokens, is called? Not within a layer. */
int head_is(const char *name, int64_t layer);
int head_is_embedding(const char *name, int64_t layer);

/* Local. Sets c->copied_head, and takes a copy out of c->parameters: the head where the embedding of its type
 * and shape beside it has the same bits, element by element. Reads both, up to the first difference; nothing
 * where they lie in one place, nothing of a hollow checkpoint, and nothing again once it has looked. Errors:
 * as checkpoint_numbers. */
err_t head_look(struct checkpoint *c, struct arena *a, struct err *e);

#endif
