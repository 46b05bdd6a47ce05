/* synth, on as many processes as the program is started with: the bytes it writes are the same for any number
 * (one recorded hash), shards hold what a single file holds, and files of others are refused and left alone.
 * One line per failed check; exit status 0 or 1. */
#include "checkpoint.h"
#include "hash.h"
#include "registry.h"
#include "stage.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int failures;

static void check(const struct comm *c, int ok, const char *what, const char *detail)
{
    if (ok)
        return;
    printf("process %d: %s: %s\n", c->me, what, detail);
    failures++;
}

struct world {
    struct comm comm;
    struct mem mem;
    struct arena arena;
    struct log log;
    char root[200];
};

/* Sets one parameter from its YAML text. */
static void set(struct world *w, const struct stage *s, void *params, const char *name, const char *value)
{
    char problem[300] = "no such parameter";
    struct err e;
    err_clear(&e);
    for (const struct param *p = s->params; p->name; p++)
        if (strcmp(p->name, name) == 0 &&
            param_set(p, params, &value, 1, 0, &w->arena, problem, sizeof problem, &e) == 0)
            return;
    check(&w->comm, 0, name, problem);
}

/* Synthesises ROOT/PLACE/{base,tuned} with these shards. Returns the agreed code; its text in e. */
static err_t synthesise(struct world *w, const char *place, const char *role, const char *shards,
                        struct err *e)
{
    const struct stage *s = registry_find("synth");
    char *params, *folder[2], *artifact = arena_printf(&w->arena, e, "%s/%s-%s.h5", w->root, place, role);
    TRY(arena_array(&w->arena, "params", (int64_t)s->params_size, &params, e));
    TRY(param_defaults(s->params, params, &w->arena, e));
    set(w, s, params, "shards", shards);
    set(w, s, params, "logits", "40");
    set(w, s, params, "scale", "0.01");
    for (int i = 0; i < 2; i++)
        folder[i] = arena_printf(&w->arena, e, "%s/%s/%s", w->root, place, i ? "tuned" : "base");
    int tuned = strcmp(role, "tuned") == 0;
    struct cell cell = {.name = "deepseek-v3/grpo/1",
                        .family = "deepseek-v3",
                        .algorithm = "grpo",
                        .data = "",
                        .seed = 1,
                        .step = -1,
                        .base = folder[0],
                        .tuned = folder[1]};
    cell.logits_base = arena_printf(&w->arena, e, "%s/logits.safetensors", folder[0]);
    cell.logits_tuned = arena_printf(&w->arena, e, "%s/logits.safetensors", folder[1]);
    struct artifact out;
    double bytes = 0;
    struct ctx ctx = {.comm = &w->comm,
                      .arena = &w->arena,
                      .log = &w->log,
                      .params = params,
                      .node = "synth",
                      .cell = &cell,
                      .label = folder[tuned],
                      .checkpoint = folder[tuned],
                      .role = role,
                      .out = &out,
                      .bytes_done = &bytes};
    TRY(artifact_begin(&out, &w->comm, artifact, &w->arena, e));
    err_t code = s->run(&ctx, e);
    struct err end;
    err_clear(&end);
    artifact_end(&out, code == ERR_OK, &end);
    return code;
}

/* Hash of all tensors of a checkpoint, by name, and of its logits. */
static uint64_t content(struct world *w, const char *place, const char *role)
{
    struct err e;
    err_clear(&e);
    uint64_t hash = 0;
    for (int part = 0; part < 2; part++) {
        struct checkpoint c = {0};
        char *path = arena_printf(&w->arena, &e, "%s/%s/%s%s", w->root, place, role,
                                  part ? "/logits.safetensors" : "");
        checkpoint_open(&c, path, &w->arena, &e);
        for (int64_t i = 0; i < c.ntensors && e.code == ERR_OK; i++) {
            char *bytes;
            if (arena_array(&w->arena, "tensor", c.tensors[i].size_bytes + 8, &bytes, &e) != ERR_OK)
                break;
            memcpy(bytes, &hash, 8);
            checkpoint_read(&c, &c.tensors[i], 0, c.tensors[i].elements, bytes + 8, &e);
            hash = hash_bytes(bytes, (size_t)c.tensors[i].size_bytes + 8);
            arena_drop(&w->arena, bytes);
        }
        check(&w->comm, e.code != ERR_OK || c.simulated != NULL, path, "does not say that it is simulated");
        checkpoint_close(&c);
    }
    check(&w->comm, e.code == ERR_OK, place, e.text);
    return hash;
}

static void expect_content(struct world *w, const char *place, const char *role, const char *shards,
                           uint64_t expected)
{
    struct err e;
    err_clear(&e);
    check(&w->comm, synthesise(w, place, role, shards, &e) == ERR_OK, place, e.text);
    char text[100];
    uint64_t found = content(w, place, role);
    snprintf(text, sizeof text, "%s in %s shards: content %016llx, expected %016llx", role, shards,
             (unsigned long long)found, (unsigned long long)expected);
    check(&w->comm, found == expected, place, text);
}

static void expect_refusal(struct world *w, const char *file, const char *text)
{
    struct err e;
    err_clear(&e);
    char *folder = arena_printf(&w->arena, &e, "%s/foreign/base", w->root);
    char *path = arena_printf(&w->arena, &e, "%s/%s", folder, file);
    if (w->comm.me == 0) {
        check(&w->comm,
              path_make_dir(folder, &e) == ERR_OK &&
                  file_write(path, text, (int64_t)strlen(text), &e) == ERR_OK,
              file, e.text);
    }
    MPI_Barrier(w->comm.mpi);
    err_clear(&e);
    check(&w->comm, synthesise(w, "foreign", "base", "1", &e) == ERR_DATA, file, "was not refused");
    check(&w->comm, strstr(e.text, file) != NULL, file, e.text);
    MPI_Barrier(w->comm.mpi);
    if (w->comm.me == 0) {
        char *now = NULL;
        int64_t n;
        err_clear(&e);
        check(&w->comm, file_read(&w->arena, path, 1000, &now, &n, &e) == ERR_OK && strcmp(now, text) == 0,
              file, "was changed");
        unlink(path);
        check(&w->comm, rmdir(folder) == 0, file, "something was written beside it");
    }
    MPI_Barrier(w->comm.mpi);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    struct world w = {0};
    comm_init(&w.comm, MPI_COMM_WORLD);
    h5_start();
    mem_init(&w.mem, (size_t)64 << 20);
    arena_init(&w.arena, &w.mem);
    log_init(&w.log, LOG_QUIET, 0);
    if (w.comm.me == 0) {
        const char *tmp = getenv("TMPDIR");
        snprintf(w.root, sizeof w.root, "%s/sinew-synth-XXXXXX", tmp ? tmp : "/tmp");
        check(&w.comm, mkdtemp(w.root) != NULL, w.root, "cannot be made");
    }
    comm_bcast(&w.comm, w.root, sizeof w.root, 0);

    const uint64_t base = 0x639482ea8a29f883, tuned = 0x8133f984d12cb957; /* recorded with rule 1 */
    expect_content(&w, "one", "base", "1", base);
    expect_content(&w, "one", "tuned", "1", tuned);
    expect_content(&w, "one", "tuned", "3", tuned); /* over its own files, in other shards, and back */
    expect_content(&w, "one", "tuned", "1", tuned);
    expect_refusal(&w, "model.safetensors", "somebody's weights");
    expect_refusal(&w, "pytorch_model.bin", "somebody's weights");
    expect_refusal(&w, "run.json", "{}");

    if (w.comm.me == 0) {
        char command[300];
        snprintf(command, sizeof command, "rm -rf '%s'", w.root);
        check(&w.comm, system(command) == 0, w.root, "cannot be removed");
    }
    arena_release(&w.arena);
    check(&w.comm, w.mem.live_bytes == 0, "memory", "not all released");
    MPI_Allreduce(MPI_IN_PLACE, &failures, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    MPI_Finalize();
    return failures != 0;
}
