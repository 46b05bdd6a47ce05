#include "engine/machine/machine_file.h"

#include "study/item.h"
#include "study/registry.h"

#include <stdio.h>
#include <string.h>

enum { WHAT = 320, NUMBER = 40 };

#define RATE(name, member, help)                                                                \
    {                                                                                           \
        name, PARAM_REAL, offsetof(struct machine, member), "1/s", NULL, 1e-6, 1e18, NULL, help \
    }
#define SECONDS(name, member, help)                                                       \
    {                                                                                     \
        name, PARAM_REAL, offsetof(struct machine, member), "s", NULL, 0, 1e6, NULL, help \
    }

/* In the order in which they are written. */
static const struct param settings[] = {
    {"measured", PARAM_TEXT, offsetof(struct machine, measured), NULL, NULL, 0, 0, NULL, "when and where"},
    {"processes_per_host", PARAM_INT, offsetof(struct machine, processes_per_host), NULL, NULL, 1, 1e6, NULL,
     "that work side by side"},
    {"memory_per_host", PARAM_BYTES, offsetof(struct machine, host_bytes), NULL, NULL, 67108864.0, 9e18, NULL,
     "that they share"},
    {"resident", PARAM_BYTES, offsetof(struct machine, resident_bytes), NULL, NULL, 1, 9e18, NULL,
     "of a process, beside what memory_per_process counts: program, libraries, MPI's and HDF5's own"},
    {"resident_several", PARAM_BYTES, offsetof(struct machine, several_bytes), NULL, NULL, 1, 9e18, NULL,
     "of one of several processes, which share memory"},
    RATE("read_process", read_process, "bytes/s of checkpoints that one process reads, from the disk"),
    RATE("read_host", read_host, "all processes of a host together"),
    RATE("read_all", read_all, "all hosts together"),
    RATE("write_process", write_process, "bytes/s that one process writes, until they are on the disk"),
    RATE("write_host", write_host, "all processes of a host together"),
    RATE("write_all", write_all, "all hosts together"),
    RATE("sealed", seal_per_sec, "bytes/s of artifacts that are hashed, closed and handed to the system"),
    RATE("artifacts", artifacts_per_sec, "artifacts/s that are looked at and put into the archive"),
    RATE("flops", flops_per_sec, "of stages that tell nothing else"),
    RATE("nodes", nodes_per_sec, "nodes/s of stages that are not under work"),
    RATE("tensors", tensors_per_sec, "tensors/s of these"),
    SECONDS("start", start_sec, "s until the first node"),
    SECONDS("flush", flush_sec, "s until an artifact is known to be on the disk, beside its bytes"),
    SECONDS("agree", agree_sec, "s of an agreement between two processes, of two hosts where there are"),
    RATE("link_host", link_host, "bytes/s that two processes of a host add up"),
    RATE("link", link, "two processes of two hosts"),
    {"crowding", PARAM_REAL, offsetof(struct machine, crowding), "1", NULL, 1, 1000, NULL,
     "by how much a process is slower while all of its host work"},
    {0},
};

/* ---- reading ---- */

/* The keys of a map as item_check_keys wants them; NULL when r->e is set. */
static struct key *new_keys(const struct asker *r, int n)
{
    struct key *keys;
    return arena_array(r->arena, "machine.keys", n, &keys, r->e) == ERR_OK ? keys : NULL;
}

static void read_stage(const struct asker *r, const struct item *map, const struct stage *s,
                       struct machine_rates *out)
{
    char what[WHAT], name[WHAT];
    int n = machine_nrates(s);
    struct key *keys = new_keys(r, n);
    part_name(what, WHAT, "work", s->kind);
    if (!keys || item_expect(r, map, ITEM_MAP, what) != 0)
        return;
    for (int k = 0; k < n; k++)
        keys[k].name = machine_rate_name(s, k);
    item_check_keys(r, map, keys, n, what);
    *out = (struct machine_rates){.stage = s};
    for (int k = 0; k < n; k++) {
        const struct param p = {keys[k].name, PARAM_REAL, (size_t)k * sizeof(double), "1/s", NULL, 1e-6, 1e18,
                                NULL,         ""};
        struct item *it = item_get(map, p.name, NULL);
        if (it)
            item_param(r, it, &p, part_name(name, WHAT, what, p.name), out->per_sec);
    }
}

static void read_work(const struct asker *r, const struct item *map, struct machine *m)
{
    int n, used = 0;
    const struct stage *const *stages = registry_stages(&n);
    struct machine_rates *rates;
    struct key *keys = new_keys(r, n);
    if (!keys || arena_array(r->arena, "machine.rates", n, &rates, r->e) != ERR_OK ||
        item_expect(r, map, ITEM_MAP, "work") != 0)
        return;
    for (int i = 0; i < n; i++)
        keys[i].name = stages[i]->kind;
    item_check_keys(r, map, keys, n, "work");
    for (int i = 0; i < n; i++) {
        const struct item *it = item_get(map, stages[i]->kind, NULL);
        if (it)
            read_stage(r, it, stages[i], &rates[used++]);
    }
    m->rates = rates;
    m->nrates = used;
}

static void read_all(const struct asker *r, struct item *root, struct machine *m)
{
    enum { MOST = sizeof settings / sizeof *settings };
    struct key keys[MOST];
    int n = 0;
    if (item_expect(r, root, ITEM_MAP, "the machine") != 0)
        return;
    for (const struct param *p = settings; p->name; p++)
        keys[n++] = (struct key){p->name, 0};
    keys[n++] = (struct key){"work", 0};
    item_check_keys(r, root, keys, n, "the machine");
    for (const struct param *p = settings; p->name; p++) {
        struct item *it = item_get(root, p->name, NULL);
        if (it)
            item_param(r, it, p, p->name, m);
    }
    const struct item *work = item_get(root, "work", NULL);
    if (work)
        read_work(r, work, m);
}

err_t machine_parse(struct machine *m, const char *file, const char *text, int64_t n,
                    struct problems *problems, struct arena *a, struct err *e)
{
    struct item *root;
    m->file = arena_strdup(a, file, e);
    *problems = (struct problems){.arena = a, .file = m->file};
    const struct asker r = {.problems = problems, .arena = a, .e = e};
    if (e->code != ERR_OK)
        return e->code;
    TRY(document_parse(text, n, problems, a, &root, e));
    if (root)
        read_all(&r, root, m);
    return problems_end(problems, e);
}

/* ---- writing ---- */

err_t machine_write(const struct machine *m, const char *head, struct text *out, struct err *e)
{
    char number[NUMBER];
    TRY(text_add(out, e, "%s", head));
    for (const struct param *p = settings; p->name; p++) {
        struct text value = {.arena = out->arena};
        TRY(param_text(p, m, &value, e));
        TRY(text_add(
            out, e, "%s: %s%*s# %s\n", p->name, value.text,
            (int)(strlen(p->name) + strlen(value.text) < 38 ? 38 - strlen(p->name) - strlen(value.text) : 1),
            "", p->help));
    }
    if (m->nrates == 0)
        return ERR_OK;
    TRY(text_add(out, e,
                 "work:  # of each stage, how much of it a process does in a second of its processor\n"));
    for (int i = 0; i < m->nrates; i++) {
        const struct machine_rates *r = &m->rates[i];
        const char *sep = "{";
        TRY(text_add(out, e, "  %s: ", r->stage->kind));
        for (int k = 0; k < machine_nrates(r->stage); k++) {
            if (r->per_sec[k] <= 0)
                continue;
            TRY(text_add(out, e, "%s%s: %s", sep, machine_rate_name(r->stage, k),
                         real_text(r->per_sec[k], number, sizeof number)));
            sep = ", ";
        }
        TRY(text_add(out, e, "%s}\n", sep[0] == '{' ? "{" : ""));
    }
    return ERR_OK;
}
