/* Writing safetensors files: the one place that does. A file is planned (its header made), created under its
 * partial name at full size, filled by one process or by several at once, and gets its final name by the
 * commit: what stands under a final name is complete.
 *
 * Order of calls: plan on every process that writes; create on one; then, after all know of it, open, put
 * ..., close on each; commit on one. Whoever gives up calls discard. */
#ifndef SINEW_SAFETENSORS_WRITER_H
#define SINEW_SAFETENSORS_WRITER_H

#include "base/mem.h"
#include "base/text.h"
#include "formats/stored.h"

struct safetensors_writer {
    const char *path, *partial;
    int alone; /* nobody else writes the file now */
    char *header;
    int64_t header_bytes, size_bytes; /* of the whole file */
    int fd;                           /* -1 while not open */
};

/* Local. Begins the text of a header to write: tensors are laid out in the order given, without gaps, and
 * offsets and sizes are filled into t. metadata: pairs key, value, key, value ... (n pairs). *header holds
 * 8+N bytes, padded to a multiple of 8 with spaces as the reference writer does. Names must be unique. */
err_t safetensors_header(struct stored_tensor *t, int64_t ntensors, const char *const *metadata, int n,
                         struct arena *a, char **header, int64_t *header_bytes, struct err *e);

/* Local. The text of an index (model.safetensors.index.json) added to out: files[i] is the name of the shard
 * that holds t[i], without its folder. */
err_t safetensors_index_text(const struct stored_tensor *t, int64_t ntensors, const char *const *files,
                             struct text *out, struct err *e);

/* Local. A file to come, with that header: w is filled, owned by the arena; nothing is touched. Errors: as
 * safetensors_header. With a zeroed writer the others do nothing. mark: of the partial name, the same on all
 * processes that write the file (file.h), which nobody else does now; NULL: this process alone does, and
 * perhaps others for themselves. */
err_t safetensors_writer_plan(struct safetensors_writer *w, const char *path, const char *mark,
                              struct stored_tensor *t, int64_t ntensors, const char *const *metadata, int n,
                              struct arena *a, struct err *e);

/* Local. Makes the partial file: full size, header written, closed again. What others left of it is removed.
 * Errors: SYSTEM. */
err_t safetensors_writer_create(struct safetensors_writer *w, struct err *e);

/* Local. Opens the partial file for writing; writes n bytes at a byte offset of the file (a tensor's
 * offset_bytes, as plan filled it in, and on); closes it. close does nothing where it is not open, and keeps
 * an error that e has. Errors: SYSTEM. */
err_t safetensors_writer_open(struct safetensors_writer *w, struct err *e);
err_t safetensors_writer_put(struct safetensors_writer *w, const void *from, int64_t n, int64_t at,
                             struct err *e);
err_t safetensors_writer_close(struct safetensors_writer *w, struct err *e);

/* Local. Flushes the file to the disk and gives it its final name. Errors: SYSTEM. */
err_t safetensors_writer_commit(const struct safetensors_writer *w, struct err *e);

/* Local. Closes and removes the partial file, whatever there is of it. */
void safetensors_writer_discard(struct safetensors_writer *w);

#endif
