#include "engine/decision.h"

#include "engine/others.h"

#include <stdio.h>
#include <string.h>

enum {
    MOST_NOTES = 12 /* lines on what is taken of checkpoints */
};

/* Process 0. A picked node cannot run where something it needs is neither fresh nor picked before it. It is
 * not run for now where another run has that. */
static err_t check_inputs(struct work *w, int ahead, int i, struct err *e)
{
    const struct dag *d = w->r->dag;
    const struct node *n = &d->nodes[i];
    if (n->stage->scope == SCOPE_STUDY)
        return ERR_OK; /* it reads the archive */
    for (int k = 0; k < n->ninputs; k++) {
        int below = n->input_nodes[k];
        const struct freshness *f = &w->all[below];
        if (f->state == STATE_FRESH || (below >= ahead && w->todo[below]))
            continue;
        if (others_have(w, below)) {
            w->awaited[i] = AWAITED_BELOW;
            w->todo[i] = 0;
            return ERR_OK;
        }
        const struct node *b = &d->nodes[below];
        const char *name = d->config->nodes[b->decl].name, *file = d->config->file;
        char only[400] = "";
        if (b->stage->scope == SCOPE_CELL)
            snprintf(only, sizeof only, " --cell %.380s", b->label);
        return err_set(
            e, ERR_DATA,
            "%s of %s needs %s of %s, whose artifact %s is %s%s%s; run 'sinew run %s --stage %s%s' first, or "
            "'sinew run %s' for everything",
            d->config->nodes[n->decl].name, n->label, name, b->label, b->path, fresh_name(f->state),
            f->why[0] ? ": " : "", f->why, file, name, only, file);
    }
    return ERR_OK;
}

/* Collective. Whoever runs a node writes its key: process 0 hands out what it found out about nodes [from,
 * to). */
static err_t share_keys(struct work *w, int from, int to, struct err *e)
{
    const struct comm *c = w->r->comm;
    if (c->np == 1)
        return ERR_OK;
    int64_t bytes = 0, at = 0;
    char *texts = NULL;
    for (int i = from; i < to && c->me == 0; i++)
        bytes += w->todo[i] ? (int64_t)strlen(w->all[i].files_text) + 1 : 0;
    comm_bcast(c, &bytes, (int64_t)sizeof bytes, 0);
    arena_array(w->r->arena, "runner.files", bytes, &texts, e);
    TRY_ALL(c, e);
    for (int i = from; i < to && c->me == 0; i++) {
        size_t n = w->todo[i] ? strlen(w->all[i].files_text) + 1 : 0;
        memcpy(texts + at, w->all[i].files_text, n);
        at += (int64_t)n;
    }
    comm_bcast(c, texts, bytes, 0);
    comm_bcast(c, w->all + from, (to - from) * (int64_t)sizeof *w->all, 0);
    at = 0;
    for (int i = from; i < to; i++)
        if (w->todo[i]) {
            w->all[i].files_text = texts + at; /* process 0's own, or the other's copy of it */
            at += (int64_t)strlen(texts + at) + 1;
        }
    return ERR_OK;
}

void decision_tell(const struct work *w, int from, int to)
{
    int said = 0, hollow = 0;
    for (int i = from; i < to && w->r->log->level >= LOG_INFO; i++) {
        const struct node *n = &w->r->dag->nodes[i];
        struct checkpoint *c = NULL;
        struct err no; /* what cannot be opened is the stage's to report */
        err_clear(&no);
        if (!w->todo[i] || !n->checkpoint || n->stage->writes_files || !checkpoint_exists(n->checkpoint))
            continue;
        if (headers_get(w->r->headers, n->checkpoint, &n->choice, &c, &no) == ERR_OK && c->note)
            if (said++ < MOST_NOTES || w->r->log->level >= LOG_DETAIL)
                log_info(w->r->log, "%s: %s", n->label, c->note);
        hollow += c && checkpoint_is_hollow(c);
        headers_put(w->r->headers, c);
    }
    if (hollow > 0)
        log_warn(w->r->log,
                 "%d of the checkpoints to be read %s hollow: no weights, and no figure means anything",
                 hollow, hollow == 1 ? "is" : "are");
    if (said > MOST_NOTES && w->r->log->level < LOG_DETAIL)
        log_info(w->r->log,
                 "of %d other checkpoints likewise: --verbose tells, and /provenance/notes of the archive",
                 said - MOST_NOTES);
}

/* Process 0. Is node i to be run? Once it is settled that is not asked again: a run looks several times where
 * others have nodes of its. */
static err_t decide(struct work *w, int ahead, int i, struct err *e)
{
    const struct selection *s = w->selection;
    const struct node *n = &w->r->dag->nodes[i];
    w->todo[i] = 0;
    if (w->settled[i])
        return ERR_OK;
    w->awaited[i] = AWAITED_NOT;
    file_stamp_of(n->path, &w->seen[i]);
    TRY(fresh_node(w->r->dag, i, w->all, w->r->headers, w->r->arena, e));
    w->todo[i] = w->picked[i] && (s->force || s->stages.n > 0 || w->all[i].state != STATE_FRESH) &&
                 !failures_lacks(&w->failures, i);
    if (w->todo[i])
        return check_inputs(w, ahead, i, e);
    w->settled[i] = w->all[i].state == STATE_FRESH ? SETTLED_FRESH : SETTLED_NOT;
    if (w->settled[i]) /* of a run that was killed just behind the node's end */
        lock_tidy(w->locks, n->path);
    if (w->settled[i] && n->stage->keeps_steps)
        journal_remove(n->path);
    return ERR_OK;
}

err_t decision_take(struct work *w, int ahead, int from, int to, struct err *e)
{
    const struct comm *c = w->r->comm;
    const int before = w->nslots;
    headers_round(w->r->headers);
    failures_reach(&w->failures, w->r->dag, from, to, e);
    if (c->me == 0) {
        others_look(w, from, 0, e);
        for (int i = from; i < to && e->code == ERR_OK; i++)
            decide(w, ahead, i, e);
    }
    if (c->me == 0 && e->code == ERR_OK) {
        struct arena scratch;
        int n = 0;
        arena_init(&scratch, w->r->mem);
        schedule_nodes(w->r->machine, w->r->dag, from, to, w->todo, c->np, w->r->headers, w->slots + before,
                       &n, &scratch, e);
        arena_release(&scratch);
        w->nslots += n;
        for (int k = before; k < w->nslots; k++)
            w->slots[k].seen = w->seen[w->slots[k].node];
    }
    comm_rest(c);
    TRY_ALL(c, e);
    comm_bcast(c, w->todo + from, to - from, 0);
    comm_bcast(c, &w->nslots, (int64_t)sizeof w->nslots, 0);
    comm_bcast(c, w->slots + before, (w->nslots - before) * (int64_t)sizeof *w->slots, 0);
    for (int k = before; k < w->nslots; k++) {
        struct comm *team = &w->team[w->slots[k].level];
        if (team->np == 0)
            comm_team(c, w->slots[k].level, team);
    }
    return share_keys(w, from, to, e);
}
