#include "engine/fresh.h"

#include "hdf5/digest.h"
#include "formats/checkpoint.h"
#include "base/text.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_BYTES = 1 << 16 }; /* of a plain file, hashed beside its size and time */

const char *fresh_name(enum fresh_state s)
{
    static const char *const names[STATE_COUNT] = {"fresh", "stale", "partial", "missing"};
    return s < STATE_COUNT ? names[s] : "?";
}

const char *failure_name(enum failure_state s)
{
    static const char *const names[FAILURE_COUNT] = {"", "failed", "not run", "in part"};
    return s < FAILURE_COUNT ? names[s] : "?";
}

/* Collects the fingerprints of the files a node reads, a line each; what is not there is "PATH absent", what
 * cannot be opened "PATH unreadable". */
struct prints {
    struct text text;
    struct headers *headers;
    const struct ctx *ctx;
};
static const char ABSENT[] = " absent", UNREADABLE[] = " unreadable";

/* A line ends with what the sample of the file's bytes is, so that artifacts of before there were samples can
 * be told from it. */
static const char SAMPLE[] = " sample ";
enum { SAMPLE_END = sizeof SAMPLE - 1 + 16 };

static err_t print_sample(struct prints *p, uint64_t hash, struct err *e)
{
    return text_add(&p->text, e, "%s%016llx\n", SAMPLE, (unsigned long long)hash);
}

static err_t print_unreadable(struct prints *p, const char *path, struct err *e)
{
    return text_add(&p->text, e, "%s%s\n", path, UNREADABLE);
}

static err_t print_file(struct prints *p, const char *path, const struct stat *st, struct err *e)
{
    char head[HEAD_BYTES];
    ssize_t n = 0;
    uint64_t sample = 0;
    struct err bad;
    err_clear(&bad);
    if (S_ISREG(st->st_mode) && st->st_size > HEAD_BYTES &&
        hash_sample(path, HASH_SAMPLE_MOST, &sample, &bad) != ERR_OK)
        return print_unreadable(p, path, e);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would be waited for */
    if (fd >= 0) {
        n = pread(fd, head, sizeof head, 0);
        close(fd);
    }
    TRY(text_add(&p->text, e, "%s %lld %lld.%09ld %016llx", path, (long long)st->st_size,
                 (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
                 (unsigned long long)hash_bytes(head, n > 0 ? (size_t)n : 0)));
    return print_sample(p, sample, e);
}

/* Its files, and what its config.json says. */
static err_t print_checkpoint(struct prints *p, struct checkpoint *c, struct err *e)
{
    err_t code = ERR_OK;
    for (int64_t i = 0; i < c->nfiles && code == ERR_OK; i++) {
        uint64_t sample;
        struct err bad;
        err_clear(&bad);
        if (checkpoint_sample(c, i, &sample, &bad) != ERR_OK) {
            code = print_unreadable(p, c->files[i].path, e);
            continue;
        }
        code =
            text_add(&p->text, e, "%s %lld %lld %016llx", c->files[i].path, (long long)c->files[i].size_bytes,
                     (long long)c->files[i].mtime_ns, (unsigned long long)c->files[i].header_hash);
        if (code == ERR_OK)
            code = print_sample(p, sample, e);
    }
    const char *problem = c->config.problem ? c->config.problem : "";
    if (code == ERR_OK && c->config.path)
        code = text_add(&p->text, e, "%s layers %lld tied %d problem %016llx\n", c->config.path,
                        (long long)c->config.layers, (int)c->config.tied,
                        (unsigned long long)(problem[0] ? hash_bytes(problem, strlen(problem)) : 0));
    return code;
}

static err_t add_print(void *arg, const char *path, struct err *e)
{
    struct prints *p = arg;
    struct stat st;
    if (stat(path, &st) != 0)
        return text_add(&p->text, e, "%s%s\n", path, ABSENT);
    if (!S_ISDIR(st.st_mode))
        return print_file(p, path, &st, e);
    struct checkpoint *c;
    struct err bad; /* a checkpoint that cannot be read is the stage's to report */
    err_clear(&bad);
    const char *base = p->ctx->choice.base; /* of an adapter, whose files are its own and the base's */
    if (!checkpoint_exists(path) || (base && !checkpoint_exists(base)))
        return text_add(&p->text, e, "%s%s\n", path, ABSENT);
    if (headers_get(p->headers, path, &p->ctx->choice, &c, &bad) != ERR_OK)
        return print_unreadable(p, path, e);
    err_t code = print_checkpoint(p, c, e);
    headers_put(p->headers, c);
    return code;
}

/* Of what artifacts the archive is that a node of the whole study reads, as it says of itself; "" where there
 * is none.
 */
static err_t add_archive(const struct dag *d, struct text *t, struct arena *a, struct err *e)
{
    char *key = NULL;
    struct h5 *h;
    struct err none;
    err_clear(&none);
    if (access(d->archive, F_OK) != 0 || h5_open_sealed(d->archive, a, &h, &none) != ERR_OK)
        return ERR_OK;
    if (h5_get_text(h, "/", "parts", &key, &none) == ERR_OK)
        text_add(t, e, "\narchive %s", key);
    h5_close(h, &none);
    return e->code;
}

/* The fingerprints of what the node reads by itself. */
static err_t print_files(struct prints *p, const struct dag *d, const struct node *n, struct arena *a,
                         struct err *e)
{
    TRY(text_add(&p->text, e, "files\n"));
    if (!n->stage->files)
        return ERR_OK;
    struct ctx ctx = node_ctx(d, n, a);
    p->ctx = &ctx;
    err_t code = n->stage->files(&ctx, add_print, p, e);
    p->ctx = NULL;
    return code;
}

static err_t compute_parts(const struct dag *d, int i, struct freshness *all, struct headers *headers,
                           struct arena *a, struct arena *keep, struct err *e)
{
    const struct node *n = &d->nodes[i];
    const struct node_decl *decl = &d->config->nodes[n->decl];
    struct freshness *f = &all[i];
    struct text t = {.arena = a};
    TRY(text_add(&t, e, "%s version %d", n->stage->kind, n->stage->version));
    hash_text(t.text, f->stage);

    t = (struct text){.arena = a};
    TRY(text_add(&t, e, "%s %s", decl->params_text, n->label));
    if (n->stage->scope == SCOPE_CELL)
        TRY(text_add(&t, e, " %s %s", n->cell->base, n->cell->tuned));
    if (n->stage->writes_files) /* where to, and for whom */
        TRY(text_add(&t, e, " %s %s", d->config->output, n->role));
    if (n->stage->writes_files && n->cell)
        TRY(text_add(&t, e, " %s %s %s", n->cell->name, n->cell->logits_base ? n->cell->logits_base : "",
                     n->cell->logits_tuned ? n->cell->logits_tuned : ""));
    for (int k = 0; k < n->ncells; k++)
        TRY(text_add(&t, e, " %s", n->cells[k]->name));
    hash_text(t.text, f->params);

    t = (struct text){.arena = a};
    TRY(text_add(&t, e, "inputs"));
    for (int k = 0; k < n->ninputs; k++)
        TRY(text_add(&t, e, "\n%s %s %s %s", n->inputs[k].kind,
                     n->inputs[k].cell ? n->inputs[k].cell->name : "", n->inputs[k].role,
                     all[n->input_nodes[k]].key));
    if (n->stage->scope == SCOPE_STUDY)
        TRY(add_archive(d, &t, a, e));
    hash_text(t.text, f->inputs);

    struct prints p = {.text = {.arena = a}, .headers = headers};
    TRY(print_files(&p, d, n, a, e));
    f->files_text = arena_strdup(keep, p.text.text, e);
    if (f->files_text)
        hash_text(f->files_text, f->files);
    return e->code;
}

/* Files that are gone cannot have changed: their lines are taken from what the artifact recorded, the lines
 * of files below a folder that is gone with it. all: of a checkpoint, whose files may lie in its base and its
 * config.json beside it, whatever was recorded. */
static err_t recall_absent(struct freshness *f, const char *recorded, int all, struct arena *a,
                           struct arena *keep, struct err *e)
{
    struct text merged = {.arena = a};
    if (all)
        TRY(text_add(&merged, e, "%s", recorded));
    for (const char *line = all ? "" : f->files_text; *line;) {
        size_t n = strcspn(line, "\n"), mark = strlen(ABSENT);
        if (n <= mark || memcmp(line + n - mark, ABSENT, mark) != 0) {
            TRY(text_add(&merged, e, "%.*s\n", (int)n, line));
        } else {
            n -= mark;
            for (const char *old = recorded; *old;
                 old += strcspn(old, "\n") + (old[strcspn(old, "\n")] == '\n'))
                if (strncmp(old, line, n) == 0 && (old[n] == ' ' || old[n] == '/'))
                    TRY(text_add(&merged, e, "%.*s\n", (int)strcspn(old, "\n"), old));
            n += mark;
        }
        line += n + (line[n] == '\n');
    }
    f->files_text = arena_strdup(keep, merged.text ? merged.text : "", e);
    if (f->files_text)
        hash_text(f->files_text, f->files);
    return e->code;
}

static void compute_key(struct freshness *f)
{
    char text[4 * HASH_TEXT + 4];
    snprintf(text, sizeof text, "%s %s %s %s", f->stage, f->params, f->inputs, f->files);
    hash_text(text, f->key);
}

/* Does the attribute hold this part? Damaged or absent counts as no. */
static int same_part(struct h5 *h, const char *name, const char *part)
{
    struct err ignored;
    err_clear(&ignored);
    char *recorded;
    return h5_get_text(h, "/", name, &recorded, &ignored) == ERR_OK && strcmp(recorded, part) == 0;
}

/* Files that the stage wrote beside its artifact still stand as it left them; otherwise the first that does
 * not is in why. */
static int outputs_stand(struct h5 *h, struct arena *a, char *why, int size)
{
    struct err ignored;
    err_clear(&ignored);
    struct table t;
    table_init(&t, "files", a);
    if (h5_table_read(h, "files", &t, 0, -1, NULL, &ignored) != ERR_OK) {
        snprintf(why, (size_t)size, "its list of written files is damaged");
        return 0;
    }
    for (int64_t i = 0; i < t.nrows; i++) {
        struct file_stamp now;
        const struct file_stamp then = {table_int(&t, i, "size_bytes"), table_int(&t, i, "mtime_ns")};
        const char *path = table_text(&t, i, "path");
        if (file_stamp_of(path, &now) && file_stamp_same(&now, &then))
            continue;
        snprintf(why, (size_t)size, "%.120s is missing or was changed", path);
        return 0;
    }
    return 1;
}

/* What an error says of a file, whose path it begins with. */
static void take_reason(const struct err *e, const char *path, char *why, int size)
{
    size_t n = strlen(path);
    const char *text = strncmp(e->text, path, n) == 0 && e->text[n] == ':' ? e->text + n + 2 : e->text;
    snprintf(why, (size_t)size, "%.*s", (int)strcspn(text, ";"), text);
}

/* Is the artifact damaged, as far as that is known or met when it is opened? Then why says so, and there is
 * no *h. */
static int is_damaged(const char *path, struct arena *a, struct h5 **h, char *why, int size)
{
    char noted[120];
    struct err met;
    err_clear(&met);
    *h = NULL;
    if (digest_noted(path, noted, sizeof noted))
        snprintf(why, (size_t)size, "is damaged: %s", noted);
    else if (h5_open_sealed(path, a, h, &met) != ERR_OK)
        take_reason(&met, path, why, size);
    return !*h;
}

/* Where two texts of fingerprints differ first: the line of the second, or of the first where that has none.
 */
static const char *first_change(const char *then, const char *now, const char **line_then)
{
    size_t same = 0;
    while (now[same] && now[same] == then[same])
        same++;
    while (same > 0 && now[same - 1] != '\n')
        same--;
    *line_then = then + same;
    return now[same] ? now + same : then + same;
}

/* What differs of a file between two such lines, by how many fields of the second stand behind the place;
 * NULL: that is not to be said. */
static const char *what_changed(const char *then, const char *now)
{
    static const char *const words[] = {"its bytes, not its size or time", NULL, "its header", "its time",
                                        "its size"};
    const char *end = now + strcspn(now, "\n");
    size_t behind = 0;
    if (end - now < SAMPLE_END || memcmp(end - SAMPLE_END, SAMPLE, sizeof SAMPLE - 1) != 0)
        return NULL;
    for (; now < end && *now == *then; now++)
        then++;
    for (; now < end; now++)
        behind += *now == ' ';
    return behind < sizeof words / sizeof *words ? words[behind] : NULL;
}

/* Which file it is, and what of it: the artifact has recorded the fingerprints as they were. */
static void tell_change(struct h5 *h, const struct freshness *f, char *why, int size)
{
    enum { MOST = 90 }; /* of a path: its end tells it from others */
    struct err ignored;
    char *recorded;
    const char *then;
    err_clear(&ignored);
    snprintf(why, (size_t)size, "the files it reads changed");
    if (h5_read_text(h, "/files_read", &recorded, &ignored) != ERR_OK)
        return;
    const char *now = first_change(recorded, f->files_text, &then), *what = what_changed(then, now);
    const int length = (int)strcspn(now, " \n"), cut = length > MOST ? length - MOST : 0;
    if (length > 0)
        snprintf(why, (size_t)size, "the files it reads changed: %s%.*s%s%s%s", cut ? "..." : "",
                 length - cut, now + cut, what ? " (" : "", what ? what : "", what ? ")" : "");
}

/* Are the files what an artifact says that was made before there were samples? Then its key is f's. */
static int same_without_samples(struct h5 *h, struct freshness *f, struct arena *a)
{
    struct err ignored;
    struct text t = {.arena = a};
    char bare[HASH_TEXT];
    err_clear(&ignored);
    for (const char *line = f->files_text; *line;) {
        const size_t n = strcspn(line, "\n");
        const int ends = n > SAMPLE_END && memcmp(line + n - SAMPLE_END, SAMPLE, sizeof SAMPLE - 1) == 0;
        text_add(&t, &ignored, "%.*s\n", (int)(ends ? n - SAMPLE_END : n), line);
        line += n + (line[n] == '\n');
    }
    if (ignored.code != ERR_OK || !t.text)
        return 0;
    hash_text(t.text, bare);
    if (!same_part(h, "key_files", bare))
        return 0;
    memcpy(f->files, bare, sizeof bare);
    return 1;
}

static void judge(const struct node *n, struct freshness *f, struct arena *a, struct arena *keep)
{
    f->why[0] = '\0';
    if (access(n->path, F_OK) != 0) {
        f->state = file_has_partial(n->path) || journal_stands(n->path) ? STATE_PARTIAL : STATE_MISSING;
        compute_key(f);
        return;
    }
    struct err ignored;
    err_clear(&ignored);
    struct h5 *h;
    f->state = STATE_STALE;
    if (is_damaged(n->path, a, &h, f->why, (int)sizeof f->why)) {
        compute_key(f);
        return;
    }
    char *recorded, with_samples[HASH_TEXT];
    if (strstr(f->files_text, ABSENT) && h5_read_text(h, "/files_read", &recorded, &ignored) == ERR_OK)
        recall_absent(f, recorded, n->checkpoint != NULL, a, keep, &ignored);
    memcpy(with_samples, f->files, sizeof with_samples);
    if (!same_part(h, "key_stage", f->stage))
        snprintf(f->why, sizeof f->why, "made by another version of the stage");
    else if (!same_part(h, "key_params", f->params))
        snprintf(f->why, sizeof f->why, "its parameters changed");
    else if (!same_part(h, "key_files", f->files) && !same_without_samples(h, f, a))
        tell_change(h, f, f->why, (int)sizeof f->why);
    else if (!same_part(h, "key_inputs", f->inputs))
        snprintf(f->why, sizeof f->why, "what it needs changed");
    else if (!n->stage->writes_files || outputs_stand(h, a, f->why, (int)sizeof f->why))
        f->state = STATE_FRESH;
    struct err met; /* a part that does not match may be one that cannot be read */
    err_clear(&met);
    if (h5_close(h, &met) != ERR_OK) {
        f->state = STATE_STALE;
        take_reason(&met, n->path, f->why, (int)sizeof f->why);
    }
    if (f->state != STATE_FRESH) /* it is made anew */
        memcpy(f->files, with_samples, sizeof with_samples);
    compute_key(f);
}

err_t fresh_node(const struct dag *d, int i, struct freshness *all, struct headers *headers,
                 struct arena *keep, struct err *e)
{
    struct freshness *f = &all[i];
    struct arena scratch;
    arena_init(&scratch, keep->mem);
    err_t code = compute_parts(d, i, all, headers, &scratch, keep, e);
    if (code == ERR_OK)
        judge(&d->nodes[i], f, &scratch, keep);
    arena_release(&scratch);
    TRY(code);
    if (f->state == STATE_STALE && strcmp(f->why, "what it needs changed") == 0)
        for (int k = 0; k < d->nodes[i].ninputs; k++) {
            const struct node *below = &d->nodes[d->nodes[i].input_nodes[k]];
            if (all[d->nodes[i].input_nodes[k]].state != STATE_FRESH) {
                snprintf(f->why, sizeof f->why, "%.40s of %.80s is %s", d->config->nodes[below->decl].name,
                         below->label, fresh_name(all[d->nodes[i].input_nodes[k]].state));
                break;
            }
        }
    return ERR_OK;
}

static int is_unreadable(const char *line)
{
    const size_t length = strcspn(line, "\n"), mark = strlen(UNREADABLE);
    return length > mark && memcmp(line + length - mark, UNREADABLE, mark) == 0;
}

err_t fresh_still(const struct dag *d, int i, const struct freshness *f, struct headers *headers,
                  struct mem *mem, struct err *e)
{
    const struct node *n = &d->nodes[i];
    struct arena a;
    struct prints p = {.text = {.arena = &a}, .headers = headers};
    if (!n->stage->files)
        return ERR_OK;
    arena_init(&a, mem);
    headers_round(headers);
    err_t code = print_files(&p, d, n, &a, e);
    if (code == ERR_OK && strcmp(p.text.text, f->files_text) != 0) {
        const char *then, *line = first_change(f->files_text, p.text.text, &then);
        if (is_unreadable(then) || is_unreadable(line)) /* for want of memory, or of files */
            code =
                err_set(e, ERR_SYSTEM, "%.*s: could not be read at one time, and could at another; run again",
                        (int)strcspn(line, " \n"), line);
        else
            code =
                err_set(e, ERR_DATA, "%.*s: has changed while the study ran; run again once nobody writes it",
                        (int)strcspn(line, " \n"), line);
    }
    arena_release(&a);
    return code;
}

err_t fresh_mark(const struct dag *d, int i, const struct freshness *f, struct h5 *artifact, struct err *e)
{
    const struct node *n = &d->nodes[i];
    const struct node_decl *decl = &d->config->nodes[n->decl];
    TRY(h5_set_text(artifact, "/", "stage", n->stage->kind, e));
    TRY(h5_set_int(artifact, "/", "stage_version", n->stage->version, e));
    TRY(h5_set_text(artifact, "/", "node", decl->name, e));
    TRY(h5_set_text(artifact, "/", "label", n->label, e));
    TRY(h5_set_text(artifact, "/", "params", decl->params_text, e));
    TRY(h5_set_text(artifact, "/", "key_stage", f->stage, e));
    TRY(h5_set_text(artifact, "/", "key_params", f->params, e));
    TRY(h5_set_text(artifact, "/", "key_inputs", f->inputs, e));
    TRY(h5_set_text(artifact, "/", "key_files", f->files, e));
    char *tables;
    TRY(h5_table_list(artifact, &tables, e));
    TRY(h5_set_text(artifact, "/", "tables", tables, e));
    if (n->stage->files)
        TRY(h5_write_text(artifact, "/files_read", f->files_text,
                          "files the stage read: path, bytes, modification time, hash of the header", e));
    return h5_set_text(artifact, "/", "key", f->key, e);
}
