/* Formats: the ways in which a model's tensors lie on disk, as a table.
 *
 * A row says how a format is recognised and how it is opened; nothing outside its own file knows more of it.
 * A new format is a file with a row at its bottom and a line in format_table.c. It includes stored.h and this
 * header, never checkpoint.h: what it tells is a list, what reads is the checkpoint. */
#ifndef SINEW_FORMAT_H
#define SINEW_FORMAT_H

#include "base/err.h"
#include "base/mem.h"
#include "formats/choice.h"
#include "formats/stored.h"

enum { FORMAT_ENDINGS = 4 };

struct format {
    const char *name;
    const char *endings[FORMAT_ENDINGS]; /* of its files' names, NULL behind the last: a file is recognised by
                                            them; the first is what an index's shards have */
    const char *const *names;  /* whole names of files that are its own, whatever other format has their
                                  ending, NULL  behind the last; NULL: none */
    const char *stem;          /* how its files' names begin in a model's folder; NULL: in no special way */
    const char *model, *index; /* in a folder: the file that holds all, else the one that names the shards */
    int ignores;       /* CHOICE_OF_...: what it does not look at of a choice; never the adapter where it may
                          hold a state dict, which may have one in it */
    const char *finds; /* what `find` looks for, for a message: "a single model*.safetensors" */

    int masters; /* its folders hold an optimiser's float32 masters: looked at first where these are wanted */

    /* Local. Another file or folder by which the model of a folder is opened: 1 and its path from there on,
     * at most size - 1 bytes. NULL: there is none. */
    int (*find)(const char *dir, char *name, int size);

    /* Local. The tensors of a file that was recognised or found, with all files they lie in; headers alone
     * are read, every size is checked. Owned by the arena. A format in which there is nothing to choose
     * ignores the choice. Errors: DATA, naming file, tensor, expected and found; SYSTEM where it cannot be
     * read. */
    err_t (*open)(struct stored_list *out, const char *path, const struct choice *choice, struct arena *a,
                  struct err *e);
};

/* In the order of preference, NULL behind the last. In an object of its own, so that a test brings another.
 */
extern const struct format *const format_table[];

/* Local, pure. The format whose ending the name has; NULL: none. */
const struct format *format_of(const char *name);

/* Local, pure. The format to which a name belongs by its ending, else by how it begins; NULL: none. */
const struct format *format_claiming(const char *name);

/* Local, pure. The row of that name; NULL: none. */
const struct format *format_named(const char *name);

enum format_source { FORMAT_NONE, FORMAT_FILE, FORMAT_INDEX };

/* Local. What a folder offers first, in the order of preference: its format (the table's first where there is
 * none) and the name of the file. */
enum format_source format_look(const char *dir, const struct format **format, char *name, int size);

/* Local. What is ignored of a choice by the format of what stands at `path`, told by names alone; -1 where
 * nothing stands there. */
int format_ignored(const char *path);

/* Local. The same among the formats that hold masters: their name for it, or FORMAT_NONE. */
enum format_source format_look_masters(const char *dir, const struct format **format, char *name, int size);

/* Local. Is there a directory entry of that name? A link that leads nowhere counts: opening it then gives the
 * reason. */
int format_has_entry(const char *dir, const char *name);

/* Local. What is looked for in a folder, as words: "model.safetensors, ... and ...". Arena-owned; NULL when e
 * is set. */
char *format_wanted(struct arena *a, struct err *e);

/* Local. Is anything in the folder called as a model, or a part of one, is: whole or not? */
int format_has_parts(const char *dir);

/* Local. DATA: what was looked for in a folder, and what is there instead; SYSTEM if it cannot be listed. */
err_t format_refuse_folder(const char *dir, struct arena *a, struct err *e);

/* Local. DATA: which endings a file must have. */
err_t format_refuse_file(const char *path, struct arena *a, struct err *e);

#endif
