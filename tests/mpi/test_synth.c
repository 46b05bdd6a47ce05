/* synth, on as many processes as the program is started with: the bytes it writes are the same for any number
 * (one recorded hash), shards hold what a single file holds, and files of others are refused and left alone.
 * One line per failed check; exit status 0 or 1. */
#include "stagelib.h"

#include "base/hash.h"
#include "base/path.h"
#include "base/file.h"

/* Synthesises ROOT/PLACE/{base,tuned} with these shards, into the artifact at path. Returns the agreed code;
 * its text in e. */
static err_t synthesise(struct world *w, const char *place, const char *role, const char *shards,
                        const char *path, struct err *e)
{
    const char *const settings[] = {"shards", shards, "logits", "40", "scale", "0.01", NULL};
    const char *folder[] = {in_root(w, "%s/base", place), in_root(w, "%s/tuned", place)};
    struct cell cell = {.name = "deepseek-v3/grpo/1",
                        .family = "deepseek-v3",
                        .algorithm = "grpo",
                        .data = "",
                        .seed = 1,
                        .step = -1,
                        .base = folder[0],
                        .tuned = folder[1],
                        .logits_base = in_root(w, "%s/base/logits.safetensors", place),
                        .logits_tuned = in_root(w, "%s/tuned/logits.safetensors", place)};
    const char *own = folder[strcmp(role, "tuned") == 0];
    struct ctx ctx = {.cell = &cell, .label = own, .checkpoint = own, .role = role};
    return run_stage(w, ctx, "synth", settings, path, e);
}

/* Hash of all tensors of a checkpoint, by name, and of its logits. */
static uint64_t content(struct world *w, const char *place, const char *role)
{
    struct err e;
    err_clear(&e);
    uint64_t hash = 0;
    for (int part = 0; part < 2; part++) {
        struct checkpoint c = {0};
        char *path = in_root(w, "%s/%s%s", place, role, part ? "/logits.safetensors" : "");
        checkpoint_open(&c, path, NULL, &w->arena, &e);
        for (int64_t i = 0; i < c.ntensors && e.code == ERR_OK; i++) {
            char *bytes;
            if (arena_array(&w->arena, "tensor", c.tensors[i].size_bytes + 8, &bytes, &e) != ERR_OK)
                break;
            memcpy(bytes, &hash, 8);
            checkpoint_read(&c, &c.tensors[i], 0, c.tensors[i].elements, bytes + 8, &e);
            hash = hash_bytes(bytes, (size_t)c.tensors[i].size_bytes + 8);
            arena_drop(&w->arena, bytes);
        }
        check(w, e.code != ERR_OK || c.simulated != NULL, "%s does not say that it is simulated", path);
        checkpoint_close(&c);
    }
    check(w, e.code == ERR_OK, "%s: %s", place, e.text);
    return hash;
}

static void expect_content(struct world *w, const char *place, const char *role, const char *shards,
                           uint64_t expected)
{
    struct err e;
    err_t code = synthesise(w, place, role, shards, in_root(w, "%s-%s.h5", place, role), &e);
    check(w, code == ERR_OK, "%s: %s", place, e.text);
    uint64_t found = content(w, place, role);
    check(w, found == expected, "%s: %s in %s shards: content %016llx, expected %016llx", place, role, shards,
          (unsigned long long)found, (unsigned long long)expected);
}

static void expect_refusal(struct world *w, const char *file, const char *text)
{
    struct err e;
    err_clear(&e);
    char *folder = in_root(w, "foreign/base"), *path = in_root(w, "foreign/base/%s", file);
    char *artifact = in_root(w, "foreign.h5");
    if (w->comm.me == 0)
        check(w,
              path_make_dir(folder, &e) == ERR_OK &&
                  file_write(path, text, (int64_t)strlen(text), &e) == ERR_OK,
              "%s: %s", file, e.text);
    MPI_Barrier(w->comm.mpi);
    err_t code = synthesise(w, "foreign", "base", "1", artifact, &e);
    check_refusal(w, code, &e, ERR_DATA, file, artifact);
    if (w->comm.me == 0) {
        char *now = NULL;
        int64_t n;
        err_clear(&e);
        check(w, file_read(&w->arena, path, 1000, &now, &n, &e) == ERR_OK && strcmp(now, text) == 0,
              "%s: was changed", file);
        unlink(path);
        check(w, rmdir(folder) == 0, "%s: something was written beside it", file);
    }
    MPI_Barrier(w->comm.mpi);
}

int main(int argc, char **argv)
{
    struct world w;
    MPI_Init(&argc, &argv);
    world_init(&w, NULL, (size_t)64 << 20);

    const uint64_t base = 0x639482ea8a29f883, tuned = 0x8133f984d12cb957; /* recorded with rule 1 */
    expect_content(&w, "one", "base", "1", base);
    expect_content(&w, "one", "tuned", "1", tuned);
    expect_content(&w, "one", "tuned", "3", tuned); /* over its own files, in other shards, and back */
    expect_content(&w, "one", "tuned", "1", tuned);
    expect_refusal(&w, "model.safetensors", "somebody's weights");
    expect_refusal(&w, "pytorch_model.bin", "somebody's weights");
    expect_refusal(&w, "run.json", "{}");

    int status = world_end(&w);
    MPI_Finalize();
    return status;
}
