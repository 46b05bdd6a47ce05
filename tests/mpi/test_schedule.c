/* Teams of processes: at every level each process is in the team that comm_team_range says, teams work side
 * by side on communicators of their own (sums, agreement on a failure, HDF5 files), and they come
 * and go without using up communicators. */
#include "stagelib.h"

static void numbers(struct world *w, int level)
{
    struct comm team;
    int from, to, mine = comm_team_of(w->comm.np, level, w->comm.me);
    comm_team_range(w->comm.np, level, mine, &from, &to);
    comm_team(&w->comm, level, &team);
    check_int(w, "processes of the team", team.np, to - from);
    check_int(w, "number in the team", team.me, w->comm.me - from);
    int64_t sum = w->comm.me;
    comm_sum(&team, &sum, 1);
    check_int(w, "sum over the team", sum, (int64_t)(from + to - 1) * (to - from) / 2);
    comm_team_free(&w->comm, &team);
}

/* The last process fails: its team knows, no other does, and then all do. */
static void failure(struct world *w, int level)
{
    struct comm team;
    struct err e;
    err_clear(&e);
    comm_team(&w->comm, level, &team);
    if (w->comm.me == w->comm.np - 1)
        err_set(&e, ERR_DATA, "process %d", w->comm.me);
    int fails =
        comm_team_of(w->comm.np, level, w->comm.me) == comm_team_of(w->comm.np, level, w->comm.np - 1);
    check_int(w, "code of the team", comm_agree(&team, &e), fails ? ERR_DATA : ERR_OK);
    check_int(w, "code of all", comm_agree(&w->comm, &e), ERR_DATA);
    char expected[40];
    snprintf(expected, sizeof expected, "process %d", w->comm.np - 1);
    check_text(w, "message", e.text, expected);
    comm_team_free(&w->comm, &team);
}

/* Each team writes a file of its own, at the same time. */
static void files(struct world *w, int level)
{
    enum { EACH = 1000 };
    struct comm team;
    struct artifact out;
    struct h5 *f;
    struct h5_bulk *d;
    struct err e;
    struct arena a;
    int64_t values[EACH], n = 0;
    err_clear(&e);
    arena_init(&a, &w->mem);
    comm_team(&w->comm, level, &team);
    char *path = in_root(w, "level-%d/team-%d.h5", level, comm_team_of(w->comm.np, level, w->comm.me));
    for (int i = 0; i < EACH; i++)
        values[i] = 1000000 * level + EACH * team.me + i;
    artifact_begin(&out, &team, path, &a, &e);
    if (artifact_bulk(&out, &f, &e) == ERR_OK &&
        h5_bulk(f, "/values", H5_INT64, (int64_t)EACH * team.np, 0, "numbers", NULL, &d, &e) == ERR_OK)
        h5_put(d, (int64_t)EACH * team.me, EACH, values, &e);
    if (comm_agree(&team, &e) == ERR_OK)
        artifact_bulk_done(&out, &e);
    if (team.me == 0 && e.code == ERR_OK && artifact_tables(&out, &f, &e) == ERR_OK)
        h5_set_int(f, "/", "processes", team.np, &e);
    comm_agree(&team, &e);
    artifact_end(&out, e.code == ERR_OK, &e);
    check(w, e.code == ERR_OK, "%s: %s", path, e.text);
    if (e.code == ERR_OK && h5_open(path, 0, &a, &f, &e) == ERR_OK) { /* all read what one of them finished */
        int64_t np = 0;
        h5_get_int(f, "/", "processes", &np, &e);
        check_int(w, "processes in the file", np, team.np);
        h5_find(f, "/values", H5_INT64, &d, &n, &e);
        check_int(w, "values in the file", n, (int64_t)EACH * team.np);
        for (int64_t p = 0; p < team.np && e.code == ERR_OK; p++) {
            h5_get(d, p * EACH, EACH, values, &e);
            for (int i = 0; i < EACH; i++)
                if (values[i] != 1000000 * level + EACH * p + i) {
                    check_int(w, "value", values[i], 1000000 * level + EACH * p + i);
                    break;
                }
        }
        h5_close(f, &e);
    }
    check(w, e.code == ERR_OK, "%s: %s", path, e.text);
    comm_team_free(&w->comm, &team);
    arena_release(&a);
}

/* What one process writes into memory in common, all see; it is empty at first, and goes without a trace. */
static void in_common(struct world *w)
{
    for (int round = 0; round < 3; round++) {
        struct comm_shared shared;
        const size_t n = 1000 * (size_t)(round + 1);
        if (!check(w, comm_share(&w->comm, n * sizeof(int64_t), &shared), "no memory is shared on one host"))
            return;
        int64_t *v = shared.memory, sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += v[i];
        check_int(w, "sum of new memory", sum, 0);
        MPI_Barrier(w->comm.mpi);
        for (size_t i = (size_t)w->comm.me; i < n; i += (size_t)w->comm.np)
            v[i] = (int64_t)i;
        MPI_Barrier(w->comm.mpi);
        for (size_t i = 0; i < n; i++)
            sum += v[i];
        check_int(w, "sum of what all wrote", sum, (int64_t)(n * (n - 1) / 2));
        comm_share_end(&shared);
        comm_share_end(&shared);
    }
    struct comm_shared none;
    check(w, !comm_share(&w->comm, (size_t)1 << 60, &none) && !none.memory, "more memory than there is");
}

int main(int argc, char **argv)
{
    struct world w;
    MPI_Init(&argc, &argv);
    world_init(&w, NULL, 0);
    for (int level = 0; level <= comm_levels(w.comm.np); level++) {
        numbers(&w, level);
        failure(&w, level);
        files(&w, level);
    }
    for (int i = 0; i < 1000; i++)
        numbers(&w, i % (comm_levels(w.comm.np) + 1));
    in_common(&w);
    int status = world_end(&w);
    MPI_Finalize();
    return status;
}
