#include "command/planning/calibration.h"

#include "base/file.h"
#include "base/path.h"
#include "command/planning/devices.h"
#include "command/planning/fit.h"
#include "command/planning/samples.h"
#include "command/planning/share.h"
#include "engine/fresh.h"
#include "engine/scratch.h"
#include "engine/state/jobs.h"
#include "hdf5/h5.h"
#include "study/registry.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- the studies ---- */

/* A study: of what width and depth, how many cells. */
struct shape {
    const char *name, *scale;
    int layers, logits;
    const char *families, *algorithms, *seeds;
    const char *steps; /* NULL: one, its end */
    const char *stages;
};
static const char ALL_STAGES[] = "  load: {needs: [synth]}\n"
                                 "  delta: {needs: [load]}\n"
                                 "  delta-f32: {kind: delta, needs: [load], arithmetic: f32}\n"
                                 "  mask: {needs: [delta]}\n"
                                 "  rank: {needs: [delta]}\n"
                                 "  counted: {kind: rank, needs: [delta], spectrum: none}\n"
                                 "  overlap: {needs: [mask]}\n"
                                 "  token-entropy: {needs: [load]}\n"
                                 "  report: {needs: [mask, rank, overlap, token-entropy]}\n";
static const char STEPS[] = "  load: {needs: [synth]}\n"
                            "  delta: {needs: [load]}\n"
                            "  dynamics: {needs: [delta]}\n";

/* Nodes without work on several bases, nodes of many tensors, many pairs, elements and matrices of several
 * sizes; runs of several steps. Beside them: samples.h. */
static const struct shape shapes[] = {
    {"tiny", "0.015625", 2, 64, "[mistral-7b, llama-3-8b, eurus-2-7b]", "[ppo]", "[0, 1]", NULL, ALL_STAGES},
    {"deep", "0.015625", 32, 64, "[mistral-7b]", "[ppo]", "[0, 1]", NULL, ALL_STAGES},
    {"many", "0.0625", 2, 512, "[mistral-7b]", "[ppo, grpo, dpo]", "[0, 1, 2]", NULL, ALL_STAGES},
    {"wide", "0.25", 2, 1024, "[mistral-7b]", "[ppo]", "[0, 1]", NULL, ALL_STAGES},
    {"large", "0.5", 1, 512, "[mistral-7b]", "[grpo]", "[0]", NULL, ALL_STAGES},
    {"steps-few", "0.0625", 2, 0, "[mistral-7b]", "[ppo]", "[0]", "[2, 4]", STEPS},
    {"steps-many", "0.125", 2, 0, "[mistral-7b]", "[ppo]", "[0]", "[2, 4, 6, 8]", STEPS},
};
enum { SHAPES = sizeof shapes / sizeof *shapes, BESIDE = 16 };
static const size_t MEMORY_BYTES = (size_t)2 << 30; /* as each study says */

static err_t write_study(const struct shape *s, const char *folder, struct text *out, struct err *e)
{
    const char *const sides[] = {"{family}/base", s->steps ? "{family}/{algorithm}-{seed}-{step}"
                                                           : "{family}/{algorithm}-{seed}"};
    TRY(text_add(out, e, "study: %s\nmemory_per_process: 2 GiB\noutput: ", s->name));
    TRY(param_quote(out, arena_printf(out->arena, e, "%s/%s", folder, s->name), e));
    TRY(text_add(out, e, "\nmatrix:\n  families: %s\n  algorithms: %s\n  seeds: %s\n", s->families,
                 s->algorithms, s->seeds));
    for (int i = 0; i < 2; i++) {
        TRY(text_add(out, e, "  %s: ", i ? "tuned" : "base"));
        TRY(param_quote(out, arena_printf(out->arena, e, "%s/%s/models/%s", folder, s->name, sides[i]), e));
        TRY(text_add(out, e, "\n"));
    }
    if (s->steps)
        TRY(text_add(out, e, "  steps: %s\n", s->steps));
    TRY(text_add(out, e, s->logits > 0 ? "  logits: {" : ""));
    for (int i = 0; i < 2 && s->logits > 0; i++) {
        TRY(text_add(out, e, "%s: ", i ? ", tuned" : "base"));
        TRY(param_quote(
            out, arena_printf(out->arena, e, "%s/%s/models/%s/logits.safetensors", folder, s->name, sides[i]),
            e));
    }
    return text_add(out, e, "%sstages:\n  synth: {scale: %s, layers: %d, steps: 8, logits: %d}\n%s",
                    s->logits > 0 ? "}\n" : "", s->scale, s->layers, s->logits > 0 ? s->logits : 1,
                    s->stages);
}

/* ---- what their nodes took ---- */

struct calibration {
    const struct runner *r;
    struct mem mem; /* of the studies, whatever the config gives */
    struct arena arena;
    struct comm self; /* process 0 alone */
    struct machine *m;
    const char *folder;
    int nstages;
    const struct stage *const *stages;
    struct fit_node **nodes; /* of each registered stage, n of them */
    int64_t *n, *cap;
    struct fit_node
        beside[BESIDE];   /* what runs took beside their nodes: of each, artifacts and their bytes */
    int nbeside;          /* one of each study */
    double counted_bytes; /* the most of a node */
};

static err_t add_node(struct calibration *c, const struct dag *d, int i, struct headers *h, double *busy,
                      struct err *e)
{
    const struct node *n = &d->nodes[i];
    struct estimate x;
    struct h5 *f;
    double sec = 0, counted = 0;
    int at = 0;
    while (at < c->nstages && c->stages[at] != n->stage)
        at++;
    TRY(h5_open(n->path, 0, &c->arena, &f, e));
    h5_get_real(f, "/", "processor_sec", &sec, e);
    h5_get_real(f, "/", "peak_bytes", &counted, e);
    h5_close(f, e);
    *busy += sec;
    c->counted_bytes = fmax(c->counted_bytes, counted);
    if (e->code != ERR_OK || at == c->nstages || machine_nrates(n->stage) == 0 || sec <= 0 ||
        !machine_estimate(c->m, d, n, 1, h, &x))
        return e->code;
    TRY(arena_grow(&c->arena, "calibration.nodes", c->n[at] + 1, &c->cap[at], &c->nodes[at], e));
    struct fit_node *out = &c->nodes[at][c->n[at]++];
    out->sec = sec;
    for (int k = 0; k < machine_nrates(n->stage); k++)
        out->amount[k] = machine_amount(&x, k);
    return ERR_OK;
}

/* Asks the system to keep no file of the checkpoints in memory: a study reads them from the disk. */
static void forget_checkpoints(const struct dag *d)
{
    for (int i = 0; i < d->nnodes; i++) {
        const char *names[] = {"model.safetensors", "logits.safetensors"};
        for (int k = 0; k < 2 && d->nodes[i].checkpoint; k++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", d->nodes[i].checkpoint, names[k]);
            int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
            if (fd < 0)
                continue;
            if (fsync(fd) == 0) /* what is not on the disk yet would stay */
                posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
            close(fd);
        }
    }
}

static double written_bytes(const struct dag *d)
{
    double sum = 0;
    struct file_stamp stamp;
    for (int i = 0; i < d->nnodes; i++)
        if (file_stamp_of(d->nodes[i].path, &stamp))
            sum += (double)stamp.size_bytes;
    return sum;
}

/* Runs one study on this process alone, and takes what its nodes took. made: its checkpoints are there. */
static err_t run_study(struct calibration *c, const char *name, const struct text *text, int made,
                       struct err *e)
{
    struct arena *a = &c->arena;
    struct problems problems;
    struct config config;
    struct dag dag;
    struct headers headers;
    struct log quiet;
    const char *first = "synth";
    const struct selection all = {0}, making = {.stages = {1, &first}};
    TRY(config_parse(&config, name, text->text, text->used, &problems, a, e));
    TRY(dag_build(&dag, &config, a, e));
    log_init(&quiet, LOG_QUIET, 0);
    headers_init(&headers, &c->mem);
    struct runner r = *c->r;
    r.comm = &c->self;
    r.mem = &c->mem;
    r.arena = a;
    r.dag = &dag;
    r.log = &quiet;
    r.headers = &headers;
    r.nmissing = 0;
    if (made || runner_run(&r, &making, e) == ERR_OK)
        forget_checkpoints(&dag);
    double before = processor_sec(), busy = 0, making_sec = 0;
    if (e->code == ERR_OK && runner_run(&r, &all, e) == ERR_OK) {
        double sec = processor_sec() - before;
        for (int i = 0; i < dag.nnodes && e->code == ERR_OK; i++)
            add_node(c, &dag, i, &headers,
                     dag.nodes[i].stage->writes_files && dag.nodes[i].checkpoint ? &making_sec : &busy, e);
        c->beside[c->nbeside++] =
            (struct fit_node){.amount = {dag.nnodes, written_bytes(&dag)}, .sec = fmax(1e-3, sec - busy)};
    }
    headers_release(&headers);
    return e->code;
}

/* The study of logits of 16 bits: those of another one, written anew, beside its checkpoints. */
static err_t write_halves(struct calibration *c, struct text *out, struct err *e)
{
    static const char *const policies[] = {"base", "grpo-0"}, *const keys[] = {"base", "tuned"};
    struct arena *a = out->arena;
    TRY(text_add(out, e, "  - {family: f, algorithm: a, seed: 0"));
    for (int i = 0; i < 2; i++) {
        TRY(text_add(out, e, ", %s: ", keys[i]));
        TRY(param_quote(out, arena_printf(a, e, "%s/large/models/mistral-7b/%s", c->folder, policies[i]), e));
    }
    TRY(text_add(out, e, ", logits: {"));
    for (int i = 0; i < 2; i++) {
        const char *from = arena_printf(a, e, "%s/large/models/mistral-7b/%s/logits.safetensors", c->folder,
                                        policies[i]),
                   *to = arena_printf(a, e, "%s/halves-%d.npy", c->folder, i);
        TRY(e->code);
        TRY(samples_halves(from, to, a, e));
        TRY(text_add(out, e, "%s%s: ", i ? ", " : "", keys[i]));
        TRY(param_quote(out, to, e));
    }
    return text_add(out, e, "}}\nstages:\n  load: {}\n  token-entropy: {needs: [load]}\n");
}

/* The study of FP8, which is decoded, in two sizes; its catalogues are copies. */
static err_t write_fp8(struct calibration *c, struct text *out, struct err *e)
{
    struct arena *a = out->arena;
    for (int k = 0; k < 2; k++) {
        TRY(text_add(out, e, "  - {family: f%d, algorithm: a, seed: 0", k));
        for (int tuned = 0; tuned < 2; tuned++) {
            const char *folder = arena_printf(a, e, "%s/fp8-%d-%d", c->folder, k, tuned);
            TRY(e->code);
            TRY(samples_fp8(folder, 2 + 2 * k, k ? 2048 : 1024, tuned, a, e));
            TRY(text_add(out, e, ", %s: ", tuned ? "tuned" : "base"));
            TRY(param_quote(out, folder, e));
        }
        TRY(text_add(out, e, "}\n"));
    }
    return text_add(out, e, "stages:\n  load: {copy: true}\n  delta: {needs: [load]}\n");
}

/* Studies of what simulated checkpoints do not have; after the others, of which one's are used. */
static const struct sample {
    const char *name;
    err_t (*write)(struct calibration *c, struct text *out, struct err *e); /* cells and stages */
} samples[] = {{"halves", write_halves}, {"fp8", write_fp8}};
_Static_assert(SHAPES + sizeof samples / sizeof *samples <= BESIDE, "room of calibration");
enum { SAMPLES = sizeof samples / sizeof *samples, STUDIES = SHAPES + SAMPLES };

static err_t write_sample(struct calibration *c, const struct sample *s, struct text *out, struct err *e)
{
    TRY(text_add(out, e, "study: %s\nmemory_per_process: 2 GiB\noutput: ", s->name));
    TRY(param_quote(out, arena_printf(out->arena, e, "%s/%s", c->folder, s->name), e));
    TRY(text_add(out, e, "\ncells:\n"));
    return s->write(c, out, e);
}

/* Three digits: what is measured has no more. */
static double rounded(double x)
{
    char text[32];
    double out = x;
    snprintf(text, sizeof text, "%.3g", x);
    return real_parse(text, &out) == 0 ? out : x;
}

static err_t take_rates(struct calibration *c, struct err *e)
{
    struct machine_rates *rates;
    int n = 0;
    TRY(arena_array(c->r->arena, "calibration.rates", c->nstages, &rates, e));
    for (int i = 0; i < c->nstages; i++) {
        double assumed[RATES];
        if (c->n[i] == 0)
            continue;
        for (int k = 0; k < machine_nrates(c->stages[i]); k++)
            assumed[k] = machine_rate(c->m, c->stages[i], k, NULL);
        rates[n].stage = c->stages[i];
        fit_rates(c->nodes[i], c->n[i], machine_nrates(c->stages[i]), assumed, rates[n].per_sec);
        for (int k = 0; k < RATES; k++)
            rates[n].per_sec[k] = rounded(rates[n].per_sec[k]);
        n++;
    }
    c->m->rates = rates;
    c->m->nrates = n;
    const double beside[] = {c->m->artifacts_per_sec, c->m->seal_per_sec};
    double found[RATES];
    fit_rates(c->beside, c->nbeside, 2, beside, found);
    c->m->artifacts_per_sec = found[0];
    c->m->seal_per_sec = found[1];
    return ERR_OK;
}

/* ---- the whole ---- */

static void tidy(struct machine *m)
{
    double *const numbers[] = {&m->read_process,      &m->read_host,    &m->read_all,  &m->write_process,
                               &m->write_host,        &m->write_all,    &m->flush_sec, &m->agree_sec,
                               &m->artifacts_per_sec, &m->seal_per_sec, &m->start_sec, &m->crowding,
                               &m->link_host,         &m->link};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = rounded(*numbers[i]);
}

/* Process 0's. */
static err_t say_where(struct calibration *c, struct err *e)
{
    char host[64] = "", when[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    gethostname(host, sizeof host - 1);
    if (gmtime_r(&now, &utc))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M UTC", &utc);
    c->m->measured = arena_printf(c->r->arena, e, "on %s, %s, with %d process%s", host, when, c->r->comm->np,
                                  c->r->comm->np > 1 ? "es" : "");
    c->m->start_sec = fmax(0.01, 2 * c->r->comm->start_sec);
    tidy(c->m);
    return c->m->measured ? ERR_OK : e->code;
}

/* What a process has beside what it counts, after a study that counts next to nothing: later ones leave freed
 * memory behind. Asked of /proc: what getrusage tells is also of the program that started this one. That
 * one of several has more is not measured, since only one of them is seen. */
static void take_resident(struct calibration *c)
{
    const double least = 16 << 20; /* a small program's */
    int64_t now, peak;
    memory_resident(&now, &peak);
    if (peak > 0)
        c->m->resident_bytes = c->m->several_bytes =
            (int64_t)fmax(least, rounded((double)peak - c->counted_bytes));
}

/* Process 0's. The i-th of all studies, written and run. */
static err_t measure_study(struct calibration *c, int i, struct err *e)
{
    struct text text = {.arena = &c->arena};
    if (i >= SHAPES) {
        TRY(write_sample(c, &samples[i - SHAPES], &text, e));
        return run_study(c, samples[i - SHAPES].name, &text, 1, e);
    }
    TRY(write_study(&shapes[i], c->folder, &text, e));
    return run_study(c, shapes[i].name, &text, 0, e);
}

/* Process 0's. */
static err_t measure_work(struct calibration *c, struct err *e)
{
    struct arena *a = &c->arena;
    c->stages = registry_stages(&c->nstages);
    TRY(arena_array(a, "calibration.lists", c->nstages, &c->nodes, e));
    TRY(arena_array(a, "calibration.counts", c->nstages, &c->n, e));
    TRY(arena_array(a, "calibration.caps", c->nstages, &c->cap, e));
    for (int i = 0; i < STUDIES; i++) {
        double started = clock_sec();
        TRY(measure_study(c, i, e));
        if (i == 0)
            take_resident(c);
        log_info(c->r->log, "calibration: study %s, %d of %d, %.1f s",
                 i < SHAPES ? shapes[i].name : samples[i - SHAPES].name, i + 1, (int)STUDIES,
                 clock_sec() - started);
    }
    TRY(take_rates(c, e));
    return say_where(c, e);
}

err_t calibration_measure(const struct runner *r, const char *in, const char *checkpoint, struct machine *m,
                          struct err *e)
{
    struct calibration c = {.r = r, .m = m};
    const char *folder = NULL;
    if (r->comm->me == 0 && path_make_dir(in, e) == ERR_OK)
        scratch_make(in, ".calibration", &folder, r->arena, e);
    TRY_ALL(r->comm, e);
    TRY(share_text(r->comm, &folder, r->arena, e));
    TRY(share_text(r->comm, &checkpoint, r->arena, e));
    c.folder = folder;
    err_t code = devices_measure(r->comm, folder, checkpoint, m, r->arena, e);
    if (code == ERR_OK && r->comm->me == 0) {
        mem_init(&c.mem, MEMORY_BYTES);
        arena_init(&c.arena, &c.mem);
        comm_init(&c.self, MPI_COMM_SELF);
        measure_work(&c, e);
        arena_release(&c.arena);
    }
    comm_rest(r->comm);
    code = comm_agree(r->comm, e);
    if (r->comm->me == 0)
        scratch_remove();
    return code;
}
