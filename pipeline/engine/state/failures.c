#include "engine/state/failures.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum {
    FAILURE_TAG = 3,
    MOST_NAMED = 3,   /* failures in the last message; the log has them all */
    MOST_LINES = 100, /* of the log */
    MOST_CELLS = 8    /* named of those that a base's node goes on without */
};

err_t failures_init(struct failures *f, int keep_going, const struct dag *d, struct arena *a, struct err *e)
{
    *f = (struct failures){.keep_going = keep_going, .arena = a};
    TRY(arena_array(a, "failures.state", d->nnodes, &f->state, e));
    return arena_array(a, "failures.why", d->nnodes, &f->why, e);
}

int failures_lacks(const struct failures *f, int i)
{
    return f->state[i] == FAILURE_FAILED || f->state[i] == FAILURE_LEFT;
}

static void note(struct failures *f, int i, enum failure_state state)
{
    f->nfailed += state == FAILURE_FAILED;
    f->nleft += state == FAILURE_LEFT;
    f->npartial += state == FAILURE_PARTIAL;
    f->state[i] = state;
}

/* ---- while a stage runs ---- */

int failures_note(struct failures *f, int i, const struct comm *team, struct err *e)
{
    if (!f->keep_going || (e->code != ERR_DATA && e->code != ERR_NUMERIC))
        return 0;
    struct err none;
    err_clear(&none);
    note(f, i, FAILURE_FAILED);
    if (team->me == 0)
        f->why[i] = arena_strdup(f->arena, e->text, &none);
    err_clear(e);
    return 1;
}

/* The reason travels from the first process of the team, which noted it, to process 0. */
static err_t bring(struct failures *f, const struct comm *c, const struct schedule_slot *slot, struct err *e)
{
    struct err carried; /* as long a text as there can be */
    int from, to, i = slot->node;
    comm_team_range(c->np, slot->level, slot->team, &from, &to);
    if (from != 0 && c->me == from) {
        snprintf(carried.text, sizeof carried.text, "%s", f->why[i] ? f->why[i] : "");
        MPI_TRY(MPI_Send(carried.text, (int)sizeof carried.text, MPI_CHAR, 0, FAILURE_TAG, c->mpi));
    }
    if (from != 0 && c->me == 0) {
        MPI_TRY(MPI_Recv(carried.text, (int)sizeof carried.text, MPI_CHAR, from, FAILURE_TAG, c->mpi,
                         MPI_STATUS_IGNORE));
        carried.text[sizeof carried.text - 1] = '\0';
        f->why[i] = arena_strdup(f->arena, carried.text, e);
    }
    return e->code;
}

err_t failures_share(struct failures *f, const struct comm *c, const struct schedule_slot *slots, int n,
                     struct err *e)
{
    int64_t *failed, any = 0;
    if (!f->keep_going)
        return ERR_OK;
    arena_array(f->arena, "failures.shared", n, &failed, e);
    TRY_ALL(c, e);
    for (int s = 0; s < n; s++)
        any |= failed[s] = f->state[slots[s].node] == FAILURE_FAILED;
    comm_max(c, &any, 1);
    if (any) {
        comm_max(c, failed, n);
        for (int s = 0; s < n; s++) {
            if (failed[s] && f->state[slots[s].node] != FAILURE_FAILED)
                note(f, slots[s].node, FAILURE_FAILED);
            if (failed[s])
                bring(f, c, &slots[s], e);
        }
    }
    arena_drop(f->arena, failed);
    return comm_agree(c, e);
}

/* ---- what needs what is not there ---- */

static const char *name_of(const struct dag *d, int i)
{
    return d->config->nodes[d->nodes[i].decl].name;
}

static err_t leave_out(struct failures *f, const struct dag *d, int i, int below, struct err *e)
{
    note(f, i, FAILURE_LEFT);
    f->why[i] =
        arena_printf(f->arena, e, "it needs %s of %s, which %s", name_of(d, below), d->nodes[below].label,
                     f->state[below] == FAILURE_FAILED ? "failed" : "was not run");
    return e->code;
}

/* "made of 3 of 4 cells, without f/a/1": the cells that went stand behind those that stayed. */
static err_t say_narrowed(struct failures *f, const struct node *n, int i, int gone, struct err *e)
{
    struct text t = {.arena = f->arena};
    TRY(text_add(&t, e, "made of %d of %d cells, without", n->ncells, n->ncells + gone));
    for (int k = 0; k < gone && k < MOST_CELLS; k++)
        TRY(text_add(&t, e, "%s %s", k > 0 ? "," : "", n->cells[n->ncells + k]->name));
    if (gone > MOST_CELLS)
        TRY(text_add(&t, e, " and %d more", gone - MOST_CELLS));
    note(f, i, FAILURE_PARTIAL);
    f->why[i] = t.text;
    return ERR_OK;
}

err_t failures_reach(struct failures *f, const struct dag *d, int from, int to, struct err *e)
{
    if (f->nfailed == 0)
        return ERR_OK;
    char *lacks;
    TRY(arena_array(f->arena, "failures.lacks", d->nnodes, &lacks, e));
    for (int i = 0; i < from; i++)
        lacks[i] = (char)failures_lacks(f, i);
    for (int i = from; i < to; i++) {
        struct node *n = &d->nodes[i];
        int first = -1;
        if (failures_lacks(f, i)) /* of an earlier look */
            continue;
        for (int k = n->ninputs - 1; k >= 0; k--)
            first = lacks[n->input_nodes[k]] ? n->input_nodes[k] : first;
        if (first < 0 || n->stage->scope == SCOPE_STUDY) /* which reads the archive */
            continue;
        int gone = dag_narrow(n, lacks);
        TRY(gone > 0 ? say_narrowed(f, n, i, gone, e) : leave_out(f, d, i, first, e));
    }
    arena_drop(f->arena, lacks);
    return ERR_OK;
}

/* ---- in the end ---- */

void failures_tell(const struct failures *f, const struct dag *d, struct freshness *all)
{
    for (int i = 0; i < d->nnodes; i++) {
        all[i].lacks = f->state[i];
        all[i].lacks_why = f->state[i] != FAILURE_NONE ? f->why[i] ? f->why[i] : "" : NULL;
    }
}

int failures_told(const struct freshness *f)
{
    return f->lacks == FAILURE_FAILED || f->lacks == FAILURE_LEFT;
}

err_t failures_rows(const struct dag *d, const struct freshness *all, struct table *failed, struct err *e)
{
    for (int i = 0; i < d->nnodes; i++) {
        const struct node *n = &d->nodes[i];
        if (all[i].lacks_why)
            TRY(TABLE_ADD(failed, e, V_TEXT(n->stage->scope == SCOPE_CELL ? n->cell->name : ""),
                          V_TEXT(name_of(d, i)), V_TEXT(n->stage->kind), V_TEXT(n->label),
                          V_TEXT(failure_name(all[i].lacks)), V_TEXT(all[i].lacks_why)));
    }
    return ERR_OK;
}

const char *failures_of_cell(const struct dag *d, const struct freshness *all, const struct cell *cell)
{
    for (int i = 0; i < d->nnodes; i++)
        if (d->nodes[i].stage->scope == SCOPE_CELL && d->nodes[i].cell == cell && all[i].lacks_why)
            return all[i].lacks_why;
    return NULL;
}

err_t failures_end(const struct failures *f, const struct dag *d, const struct log *log, int archive,
                   struct err *e)
{
    struct text t = {.arena = f->arena};
    int named = 0, lines = 0;
    if (f->nfailed == 0)
        return ERR_OK;
    for (int i = 0; i < d->nnodes; i++) {
        if (f->state[i] == FAILURE_NONE)
            continue;
        if (lines++ < MOST_LINES)
            log_info(log, "%-14s %s of %s: %s", failure_name(f->state[i]), name_of(d, i), d->nodes[i].label,
                     f->why[i] ? f->why[i] : "");
        if (f->state[i] == FAILURE_FAILED && named++ < MOST_NAMED)
            TRY(text_add(&t, e, "%s%s of %.160s: %.250s", named > 1 ? "; " : "", name_of(d, i),
                         d->nodes[i].label, f->why[i] ? f->why[i] : ""));
    }
    if (lines > MOST_LINES)
        log_info(log, "and %d more nodes are not there, or in part", lines - MOST_LINES);
    return err_set(
        e, ERR_DATA,
        "%lld node%s failed: %s%s; not run for want of what they need: %lld%s; all else is done%s; once "
        "that is mended 'sinew run %.200s' does what lacks",
        (long long)f->nfailed, f->nfailed == 1 ? "" : "s", t.text,
        f->nfailed > MOST_NAMED ? "; and others" : "", (long long)f->nleft,
        f->npartial > 0 ? "; some are made of the cells that are there" : "",
        archive ? ", and archive and report mark what lacks" : "", d->config->file);
}
