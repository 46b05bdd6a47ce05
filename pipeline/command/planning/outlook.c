#include "command/planning/outlook.h"

#include "base/log.h"
#include "study/param.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PROCESSES = 1 << 16, MOST_COUNTS = 32, CELL = 26, NAME = 16 };

/* ---- numbers of processes ---- */

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

err_t outlook_counts(const char *text, int64_t **counts, int *n, struct arena *a, struct err *e)
{
    TRY(arena_array(a, "plan.counts", MOST_COUNTS, counts, e));
    *n = 0;
    for (const char *p = text; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        char word[24];
        int64_t count;
        snprintf(word, sizeof word, "%.*s", (int)min64((int64_t)strcspn(p, ","), 23), p);
        if (int_parse(word, &count) != 0 || count < 1 || count > MOST_PROCESSES || *n == MOST_COUNTS)
            return err_set(e, ERR_CONFIG,
                           "--processes: expected numbers from 1 to %d, at most %d of them, as in 1,16,256; "
                           "found '%.60s'",
                           MOST_PROCESSES, MOST_COUNTS, text);
        (*counts)[(*n)++] = count;
    }
    qsort(*counts, (size_t)*n, sizeof **counts, by_size);
    int kept = 0;
    for (int i = 0; i < *n; i++)
        if (kept == 0 || (*counts)[kept - 1] != (*counts)[i])
            (*counts)[kept++] = (*counts)[i];
    *n = kept;
    return ERR_OK;
}

/* ---- the table ---- */

static double memory_of(const struct outlook *o, const struct forecast *f)
{
    return f->likely_bytes + machine_resident(o->machine, f->np);
}

/* A row of the table: its name, then a cell for each forecast. */
static err_t add_row(const struct outlook *o, const char *name,
                     void (*cell)(const struct outlook *, const struct forecast *, int, char *), int at,
                     struct text *out, struct err *e)
{
    TRY(text_add(out, e, "%-*s", NAME, name));
    for (int i = 0; i < o->n; i++) {
        char text[80] = "";
        cell(o, &o->list[i], at, text);
        TRY(text_add(out, e, " %*.*s", CELL, CELL, text));
    }
    return text_add(out, e, "\n");
}

enum { TEXT = 80 };

static void cell_processes(const struct outlook *o, const struct forecast *f, int at, char *text)
{
    (void)o, (void)at;
    snprintf(text, TEXT, "%d", f->np);
}

static void cell_hosts(const struct outlook *o, const struct forecast *f, int at, char *text)
{
    (void)at;
    int64_t each = o->machine->processes_per_host;
    snprintf(text, TEXT, "%lld", (long long)((f->np + each - 1) / each));
}

static void cell_stage(const struct outlook *o, const struct forecast *f, int at, char *text)
{
    (void)o;
    const struct forecast_stage *s = &f->stages[at];
    char sec[32], bound[32];
    if (s->todo == 0)
        snprintf(text, TEXT, "fresh");
    else if (s->unknown)
        snprintf(text, TEXT, "?");
    else
        snprintf(text, TEXT, "%s, %s", human_sec(s->sec, sec, sizeof sec),
                 forecast_bound(s, bound, sizeof bound));
}

static void cell_total(const struct outlook *o, const struct forecast *f, int at, char *text)
{
    (void)o, (void)at;
    human_sec(f->sec, text, TEXT);
}

static void cell_memory(const struct outlook *o, const struct forecast *f, int at, char *text)
{
    (void)at;
    int64_t has = machine_memory(o->machine, o->dag->config->memory_bytes);
    char bytes[32];
    snprintf(text, TEXT, "%s%s", human_bytes(memory_of(o, f), bytes, sizeof bytes),
             f->process_bytes > (double)has ? ", does not fit" : "");
}

static void cell_disk(const struct outlook *o, const struct forecast *f, int at, char *text)
{
    (void)o, (void)at;
    human_bytes(f->disk_bytes, text, TEXT);
}

/* What a program has to say of rates: which were measured. */
static err_t add_rates(const struct machine *m, const struct dag *d, int measured, struct text *out,
                       struct err *e)
{
    int n = 0;
    for (int k = 0; k < d->config->nnodes; k++) {
        const struct stage *s = d->config->nodes[d->order[k]].stage;
        int found = 0, before = 0;
        if (machine_nrates(s) > 0)
            machine_rate(m, s, RATE_NODES, &found);
        for (int i = 0; i < k; i++)
            before |= d->config->nodes[d->order[i]].stage == s;
        if (found == measured && !before)
            TRY(text_add(out, e, "%s%s", n++ ? ", " : "", s->kind));
    }
    return n > 0 ? ERR_OK : text_add(out, e, "none");
}

err_t outlook_model(const struct machine *m, const struct dag *d, struct text *out, struct err *e)
{
    char read[32], write[32], host[32];
    if (!m->file)
        return text_add(
            out, e,
            "Nothing was measured: rates are assumed, of an EPYC core and of disks that give a process %s/s; "
            "'sinew plan %s --calibrate' measures this machine.\n",
            human_bytes(m->read_process, read, sizeof read), d->config->file);
    TRY(text_add(out, e, "Rates are those of %s%s%s: measured for ", m->file, m->measured[0] ? ", " : "",
                 m->measured));
    TRY(add_rates(m, d, 1, out, e));
    TRY(text_add(out, e, "; assumed for "));
    TRY(add_rates(m, d, 0, out, e));
    return text_add(out, e, ". A process reads %s/s and writes %s/s; a host has %lld processes and %s.\n",
                    human_bytes(m->read_process, read, sizeof read),
                    human_bytes(m->write_process, write, sizeof write), (long long)m->processes_per_host,
                    human_bytes((double)m->host_bytes, host, sizeof host));
}

static int nothing_to_do(const struct forecast *f)
{
    int todo = 0;
    for (int k = 0; k < f->n; k++)
        todo += f->stages[k].todo;
    return todo == 0;
}

err_t outlook_table(const struct outlook *o, struct text *out, struct err *e)
{
    const struct forecast *first = &o->list[0];
    TRY(add_row(o, "processes", cell_processes, 0, out, e));
    TRY(add_row(o, "hosts", cell_hosts, 0, out, e));
    for (int k = 0; k < first->n; k++)
        TRY(add_row(o, first->stages[k].name, cell_stage, k, out, e));
    TRY(add_row(o, "total", cell_total, 0, out, e));
    TRY(add_row(o, "memory, each", cell_memory, 0, out, e));
    TRY(add_row(o, "disk", cell_disk, 0, out, e));
    TRY(text_add(
        out, e,
        "\nBehind each time stands what most of it goes to. Memory is one process's, the program's own "
        "included; disk is what the run adds.\n"));
    if (nothing_to_do(first))
        return text_add(out, e, "Everything is fresh, nothing to do.\n");
    if (o->stops > 0)
        return text_add(
            out, e,
            "Scaling stops at %lld process%s: twice as many are less than a tenth faster; most time "
            "there goes to %s.\n",
            (long long)o->stops, o->stops == 1 ? "" : "es", o->stops_at);
    return text_add(out, e, "Scaling does not stop below %d processes.\n", 2 * o->list[o->n - 1].np);
}

/* ---- for programs ---- */

static err_t add_stage_json(const struct forecast_stage *s, struct text *out, struct err *e)
{
    char bound[32];
    TRY(text_add(out, e, "{\"stage\": "));
    TRY(text_add_json(out, e, s->name));
    TRY(text_add(
        out, e,
        ", \"nodes\": %d, \"seconds\": %.6g, \"processor_seconds\": %.6g, \"bytes\": %.0f, "
        "\"read_bytes\": %.0f, \"write_bytes\": %.0f, \"flops\": %.6g, \"memory_per_process\": %.0f, "
        "\"unknown\": %d, \"bound\": ",
        s->todo, s->sec, s->processor_sec, s->read_bytes + s->write_bytes, s->read_bytes, s->write_bytes,
        s->flops, s->likely_bytes, s->unknown));
    TRY(text_add_json(out, e, forecast_bound(s, bound, sizeof bound)));
    return text_add(out, e, "}");
}

err_t outlook_json(const struct outlook *o, struct text *out, struct err *e)
{
    double has = (double)machine_memory(o->machine, o->dag->config->memory_bytes);
    TRY(text_add(out, e, "["));
    for (int i = 0; i < o->n; i++) {
        const struct forecast *f = &o->list[i];
        TRY(text_add(
            out, e,
            "%s{\"processes\": %d, \"seconds\": %.6g, \"processor_seconds\": %.6g, "
            "\"memory_per_process\": %.0f, \"counted_per_process\": %.0f, \"fits\": %s, \"disk\": %.0f, "
            "\"unknown\": %d, \"measured\": %s,\n  \"stages\": [",
            i ? ",\n " : "", f->np, f->sec, f->processor_sec, memory_of(o, f), f->process_bytes,
            f->process_bytes <= has ? "true" : "false", f->disk_bytes, f->unknown,
            o->machine->file ? "true" : "false"));
        for (int k = 0; k < f->n; k++) {
            TRY(text_add(out, e, "%s", k ? ",\n    " : "\n    "));
            TRY(add_stage_json(&f->stages[k], out, e));
        }
        TRY(text_add(out, e, "]}"));
    }
    return text_add(out, e, "]\n");
}
