/* Checkpoints: a folder or file holding a model's tensors, in a published format, as one list of tensors with
 * their places.
 *
 * Opening reads headers only and checks every size before it is used. Reading elements is by pread at the
 * tensor's own byte offset, through a reader where there is one (readahead.h); nothing is mapped, so a file
 * cut short while we read is an error, not a signal. Formats plug in by format.h. A catalogue is the same
 * list as `load` wrote it to its artifact. */
#ifndef SINEW_CHECKPOINT_H
#define SINEW_CHECKPOINT_H

#include "base/err.h"
#include "base/mem.h"
#include "formats/choice.h"
#include "formats/decoder.h"
#include "formats/decoders/quantized.h"
#include "formats/model_config.h"
#include "formats/readahead.h"
#include "formats/stored.h"

#include <stdint.h>

struct checkpoint {
    const char *path;      /* as the config names it */
    const char *format;    /* the name of its row in the table of formats */
    const char *simulated; /* text of the file's own "simulated" metadata, NULL for real weights */
    const char *note;      /* what was taken, a sentence or two; NULL: nothing to say */
    int adapted;           /* as stored_list's; not known of a catalogue */
    struct model_config config;
    struct quantized quantized; /* after training; zeroed: it is not */
    int64_t ntensors, nfiles;
    int64_t parameters;      /* elements of all tensors, but those that serve others and a copied head */
    const char *copied_head; /* an output head that is an equal copy of the embedding (head.h); NULL: none, or
                                nobody has looked */
    int head_looked;
    struct stored_tensor *tensors; /* sorted by name, bytewise */
    struct stored_file *files;
    int64_t reads;            /* so far: the clock of the files' last_use */
    int nopen;                /* files with an open descriptor */
    struct readahead *reader; /* borrowed, set by who wants to read ahead; NULL: all is read when asked */
};

/* Descriptors that one checkpoint keeps open: a model may have more shards than a process may have files. */
enum { CHECKPOINT_MAX_OPEN = 64 };

/* Local. Opens path: a .safetensors, .bin, .pt or .pth file, or a folder with, in the order of transformers,
 * model.safetensors, model.safetensors.index.json, pytorch_model.bin or pytorch_model.bin.index.json (an
 * index: all its shards; other files beside them, such as logits, are no part of the model) or, with none of
 * these, exactly one .safetensors file whose name begins with "model" and that is no shard of several. c is
 * filled, owned by the arena. Reads headers only. The index's total_size is not believed: published ones are
 * often wrong. Errors: DATA, naming file, tensor, expected and found: missing shard, tensor absent from its
 * shard, tensor in two shards, truncated or too long file, overlap or hole, duplicate key, unknown type,
 * sizes that do not match or overflow, index entry that leaves the folder, and for torch files all that
 * torchfile.h refuses. A tensor in a shard that the index does not name is DATA too. choice: what is taken
 * where there is one (choice.h); NULL: what is deployed. */
err_t checkpoint_open(struct checkpoint *c, const char *path, const struct choice *choice, struct arena *a,
                      struct err *e);

/* Local. Where checkpoint_open would look, without reading: 1 if something is there, also what is of a kind
 * that is known and not read (unread.h), so that opening it gives the reason. */
int checkpoint_exists(const char *path);

/* Local, pure. Does it say of itself that it holds no weights, only holes in their place? */
int checkpoint_is_hollow(const struct checkpoint *c);

/* Local. One tensor by name; NULL if there is none. Binary search. */
const struct stored_tensor *checkpoint_find(const struct checkpoint *c, const char *name);

/* Local. Reads n raw elements, in row-major order from element `first` on, of tensor t into buf (n *
 * dtype_bits/8 bytes, byte-sized types only). What is strided, or a box of a tensor, is gathered through a
 * small window, whatever n is. Errors: DATA when the file has become shorter (file, tensor, expected, found
 * bytes), SYSTEM on I/O errors. */
err_t checkpoint_read(struct checkpoint *c, const struct stored_tensor *t, int64_t first, int64_t n,
                      void *buf, struct err *e);

/* Local. The same as numbers: decoded where the tensor is, of decoder_type, with a scratch for at least n
 * elements of it (unused where it is not decoded). Errors: as checkpoint_read. */
err_t checkpoint_numbers(struct checkpoint *c, const struct stored_tensor *t, int64_t first, int64_t n,
                         struct decoder_scratch *scratch, void *buf, struct err *e);

/* Local. Says that elements [first, first+n) of t will be read, n > 0: its reader fetches of them what goes
 * into one block (readahead_want; tag as there). Nothing of tensors that lie otherwise than in runs, which
 * are read in small parts. Returns how many elements, from the first on, that settles: at least one. What
 * goes wrong is said by the read. */
int64_t checkpoint_ahead(struct checkpoint *c, const struct stored_tensor *t, int64_t first, int64_t n,
                         int64_t tag);

/* Local. Elements [first, first+n) of t will be read: tells the file system of what checkpoint_ahead leaves
 * out, a tensor that does not lie in runs, and all that serves a decoded one. */
void checkpoint_advise(struct checkpoint *c, const struct stored_tensor *t, int64_t first, int64_t n);

/* What there is to read in all of a checkpoint's tensors: bytes, those elements that are decoded; layers of
 * the stack that has most. */
struct checkpoint_extent {
    double bytes, decoded, layers;
};

/* Local, pure. */
struct checkpoint_extent checkpoint_extent(const struct checkpoint *c);

/* Local. Are the files still what they were when c was opened (size, mtime)? DATA with the file's name if
 * not. */
err_t checkpoint_verify(const struct checkpoint *c, struct err *e);

/* Local. Hash of a sample of a file's bytes (hash_sample), looked at once as long as c is open: at most about
 * a thousand blocks of a checkpoint, and 8 to 64 of each file. Errors: SYSTEM, DATA where it is gone. */
err_t checkpoint_sample(struct checkpoint *c, int64_t file, uint64_t *hash, struct err *e);

/* Local. Closes the file descriptors; the lists stay the arena's. Safe on a zeroed checkpoint. */
void checkpoint_close(struct checkpoint *c);

#endif
