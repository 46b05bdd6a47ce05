/* Files: opened and stamped in one way, read whole, written whole. A file under its final name is complete:
 * until then it has a partial name, PATH.partial.MARK, which is its writer's own. Whoever writes the same
 * file at the same time, and be it a process that was taken for dead, does not get hold of it. */
#ifndef SINEW_FILE_H
#define SINEW_FILE_H

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>
#include <sys/stat.h>

/* What a file was like when it was looked at: as long as that stays, its bytes are taken to be the same. */
struct file_stamp {
    int64_t size_bytes, mtime_ns;
};

/* Local. Opens a regular file for reading; fd is the caller's to close. A pipe is not waited for. Errors:
 * DATA where nothing of that name is there, or what is there is no regular file; SYSTEM else. fd is -1 then.
 */
err_t file_open(const char *path, int *fd, struct file_stamp *stamp, struct err *e);

/* Local. Makes a new file for writing, in the place of one that lies there under that name, or of a link,
 * which is not followed. fd is the caller's to close. Errors: SYSTEM; fd is -1 then. */
err_t file_create(const char *path, int *fd, struct err *e);

/* Local. Records, as err_set does, that path could not be `done` ("written", "created"): SYSTEM, with the
 * system's reason `why`, an errno. Where it is one of room (a full disk, a quota, a limit of the size of
 * files, a file system that is read-only) the text says how many bytes are needed and how many are free, and
 * what to do. more: bytes that were still to be written, as far as is known; whole: those of the whole file;
 * 0: not known. */
err_t file_cannot_at(struct err *e, const char *source, int line, const char *path, const char *done, int why,
                     int64_t more, int64_t whole);
#define file_cannot(e, path, done, why, more, whole) \
    file_cannot_at((e), __FILE__, __LINE__, (path), (done), (why), (more), (whole))

/* Local. Writes n bytes into an open file, from where it stands on. whole: as above. Errors: SYSTEM. */
err_t file_put(int fd, const char *path, const void *bytes, int64_t n, int64_t whole, struct err *e);

/* Local. Bytes [at, at + n) of an open file. Errors: SYSTEM, also where it ends before. */
err_t file_get(int fd, const char *path, void *to, int64_t at, int64_t n, struct err *e);

/* Local. Is that reason one of room? */
int file_is_room(int why);

/* Local. The stamp of a path (links followed); 0 where nothing is there, 1 else. Of what stat said. Are two
 * the same? */
int file_stamp_of(const char *path, struct file_stamp *stamp);
struct file_stamp file_stamp_from(const struct stat *st);
int file_stamp_same(const struct file_stamp *a, const struct file_stamp *b);

/* Local. DATA where the first n bytes of a file of size_bytes are those of what is left in place of the
 * weights: a git-lfs pointer, by a clone without git-lfs, or a web page, by a download that was refused. */
err_t file_refuse_pointer(const char *path, const char *head, int64_t n, int64_t size_bytes, struct err *e);

/* Local. Do two regular files hold the same bytes, and as many? Errors: as file_open, SYSTEM where one cannot
 * be read. */
err_t file_compare(const char *path, const char *other, int *same, struct arena *a, struct err *e);

/* Local. The whole file, NUL-terminated, arena-owned; at most max_bytes. Errors: SYSTEM not readable, DATA
 * too large. */
err_t file_read(struct arena *a, const char *path, int64_t max_bytes, char **text, int64_t *n, struct err *e);

enum { FILE_MARK = 48 }; /* bytes of a mark, its end included */

/* Local. This process's mark: HOST-PID. */
void file_mark(char mark[FILE_MARK]);

/* Local. The partial name of path for who has this mark; NULL: this process. Processes that write one file
 * take the mark of one of them. Arena-owned; NULL is an error. */
char *file_partial(struct arena *a, const char *path, const char *mark, struct err *e);

/* Local. Does anything lie under a partial name of path, whoever's? Removes what does, links and folders of
 * files too: for who alone writes path now, since the others that began it have ended. */
int file_has_partial(const char *path);
void file_sweep(const char *path);

/* Local. The same for all that lies in a folder under a partial name of whatever path. */
void file_sweep_folder(const char *folder);

/* Local. Writes the file under its partial name, flushes it to the disk and renames it to path. */
err_t file_write(const char *path, const char *text, int64_t n, struct err *e);

/* Local. Does the file system of that folder, which can be written, keep what was never written as holes,
 * which take no room? Tried with a file of a few MB that is removed again. Errors: SYSTEM. */
err_t file_holds_holes(const char *dir, int *holds, struct err *e);

/* Local. Flushes a file under its partial name (written and closed) to the disk and renames it to path, the
 * folder flushed too. */
err_t file_commit(const char *partial, const char *path, struct err *e);

#endif
