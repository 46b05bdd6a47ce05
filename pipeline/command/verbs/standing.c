#include "command/verbs/standing.h"

#include "base/log.h"
#include "base/terminal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 900, SHARE_WORDS = 250 };

err_t standing_read(struct standing *s, const char *output, struct arena *a, struct err *e)
{
    int64_t number = 0;
    *s = (struct standing){.at = {.arena = a}};
    TRY(jobs_read(output, &s->jobs, &s->n, a, e));
    for (int i = 0; i < s->n; i++)
        for (int k = 0; k < s->jobs[i].nprocesses; k++, number++) {
            const char *artifact = s->jobs[i].process[k].artifact;
            int64_t known = dict_find(&s->at, artifact);
            if (strcmp(artifact, "-") != 0 && known < 0)
                TRY(dict_put(&s->at, artifact, number, e));
        }
    return ERR_OK;
}

/* "43 % after 12 s at layers.7.mlp.up_proj.weight". */
static const char *share_words(const struct job_process *p, char *text, int size)
{
    char spent[32];
    snprintf(text, (size_t)size, "%.0f %% after %s%s%s", 100 * p->share,
             human_sec(p->node_sec, spent, sizeof spent), p->item[0] ? " at " : "", p->item);
    return text;
}

/* "delta of f/a/0, " and these; where no process is at a node, that. */
static const char *at_words(const struct job_process *p, char *text, int size)
{
    char share[SHARE_WORDS];
    if (!p || !p->node[0])
        snprintf(text, (size_t)size, "between nodes");
    else
        snprintf(text, (size_t)size, "%s of %s, %s", p->node, p->label, share_words(p, share, sizeof share));
    return text;
}

/* The process that is longest at its node, and the largest peak of one. */
static const struct job_process *longest_of(const struct job_record *j, int64_t *peak)
{
    const struct job_process *longest = NULL;
    *peak = 0;
    for (int k = 0; k < j->nprocesses; k++) {
        const struct job_process *p = &j->process[k];
        *peak = p->peak_bytes > *peak ? p->peak_bytes : *peak;
        if (p->node[0] && (!longest || p->node_sec > longest->node_sec))
            longest = p;
    }
    return longest;
}

static void put_head(const char *state, enum terminal_colour colour)
{
    const char *code = terminal_colour(stdout, colour);
    printf("%s%-8s%s %-16s ", code, state, code[0] ? terminal_plain(stdout) : "", "job");
}

static void put_job(const struct job_record *j)
{
    char at[WORDS], up[32], age[32], most[32], cause[WORDS];
    int64_t peak;
    const struct job_process *p = longest_of(j, &peak);
    double up_sec = 0;
    for (int k = 0; k < j->nprocesses; k++)
        up_sec = j->process[k].up_sec > up_sec ? j->process[k].up_sec : up_sec;
    const char *number = strcmp(j->number, "-") == 0 ? "" : j->number;
    put_head(j->state == JOB_RUNS ? "running" : "killed",
             j->state == JOB_RUNS ? TERMINAL_GREEN : TERMINAL_RED);
    printf("process %lld on %s%s%s, %d process%s, for %s", (long long)j->holder.pid, j->holder.host,
           number[0] ? ", job " : "", number, j->nprocesses, j->nprocesses == 1 ? "" : "es",
           human_sec(up_sec + (j->state == JOB_RUNS ? j->age_sec : 0), up, sizeof up));
    if (j->state == JOB_KILLED || j->age_sec > 4 * j->every_sec)
        printf(", last heard of %s ago", human_sec(j->age_sec, age, sizeof age));
    printf(": %s; peak memory of a process %s", at_words(p, at, sizeof at),
           human_bytes((double)peak, most, sizeof most));
    if (j->state == JOB_KILLED && jobs_memory_cause(j, cause, sizeof cause)[0])
        printf("; %s", cause);
    printf("\n");
}

void standing_put(const struct standing *s, const char *output, const char *config)
{
    char mark[4096];
    for (int i = 0; i < s->n; i++)
        put_job(&s->jobs[i]);
    snprintf(mark, sizeof mark, "%.4000s/.stopped", output);
    if (s->n == 0 && access(mark, F_OK) == 0) {
        put_head("stopped", TERMINAL_YELLOW);
        printf("the last run ended early, in good order; 'sinew run %s' goes on\n", config);
    }
}

const struct job_record *standing_at(const struct standing *s, const char *artifact, char *why, int size)
{
    char key[HASH_TEXT], share[SHARE_WORDS], most[32];
    hash_text(artifact, key);
    int64_t number = dict_find(&s->at, key);
    why[0] = '\0';
    for (int i = 0; i < s->n && number >= 0; i++) {
        const struct job_record *j = &s->jobs[i];
        if (number >= j->nprocesses) {
            number -= j->nprocesses;
            continue;
        }
        const struct job_process *p = &j->process[number];
        snprintf(why, (size_t)size, "%s on %.40s, process %d, peak memory %s",
                 share_words(p, share, sizeof share), p->host, p->number,
                 human_bytes((double)p->peak_bytes, most, sizeof most));
        return j;
    }
    return NULL;
}
