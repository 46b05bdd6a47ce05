#include "base/inject/inject.h"

#ifdef SINEW_INJECT

#include "base/mem.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SITE_TEXT = 200, DELAY_SEC = 2 };

/* What one command line asked for; the process's own, like the counts of its sites. */
static struct {
    int armed;
    const char *trace; /* where the trace goes, without the process's number */
    char site[SITE_TEXT], what[8];
    long long process, count;
    int me; /* -1 until it is known */
} wanted = {.me = -1};

extern struct inject_site *const __start_sinew_inject[] __attribute__((weak));
extern struct inject_site *const __stop_sinew_inject[] __attribute__((weak));

/* The file without the folders above the tree's own. */
static const char *site_name(const struct inject_site *s, char text[SITE_TEXT])
{
    static const char *const tops[] = {"/pipeline/", "/stages/", "/tests/"};
    const char *file = s->file;
    for (size_t i = 0; i < sizeof tops / sizeof *tops; i++)
        if (strstr(s->file, tops[i]))
            file = strstr(s->file, tops[i]) + (i == 0 ? strlen(tops[0]) : 1);
    snprintf(text, SITE_TEXT, "%s@%s@%d", s->kind, file, s->line);
    return text;
}

err_t inject_pass(struct inject_site *site, struct err *e)
{
    char name[SITE_TEXT];
    if (e->code != ERR_OK || wanted.me < 0)
        return ERR_OK;
    site->passes++;
    if (!wanted.armed || (wanted.process >= 0 && wanted.process != wanted.me) ||
        site->passes != wanted.count || strcmp(site_name(site, name), wanted.site) != 0)
        return ERR_OK;
    if (strcmp(wanted.what, "death") == 0)
        raise(SIGKILL);
    if (strcmp(wanted.what, "delay") == 0)
        nanosleep(&(struct timespec){.tv_sec = DELAY_SEC}, NULL);
    else
        return err_set(e, ERR_SYSTEM, "%s: failed as it was told to", name);
    return ERR_OK;
}

static void list_sites(void)
{
    char name[SITE_TEXT];
    for (struct inject_site *const *s = __start_sinew_inject; s < __stop_sinew_inject; s++)
        printf("%s\n", site_name(*s, name));
    fflush(stdout);
}

/* Into a file of this process's own: lines that mpirun gathers from several processes may be torn. */
static void write_trace(void)
{
    char name[SITE_TEXT], path[4096];
    snprintf(path, sizeof path, "%s.%d", wanted.trace, wanted.me);
    FILE *f = fopen(path, "wx");
    if (!f) {
        perror(path);
        return;
    }
    for (struct inject_site *const *s = __start_sinew_inject; s < __stop_sinew_inject; s++)
        if ((*s)->passes > 0)
            fprintf(f, "%d %lld %s\n", wanted.me, (long long)(*s)->passes, site_name(*s, name));
    fclose(f);
}

/* SITE:PROCESS:COUNT:WHAT */
static int read_wish(const char *text)
{
    char end = '\0';
    if (sscanf(text, "%199[^:]:%lld:%lld:%7[a-z]%c", wanted.site, &wanted.process, &wanted.count, wanted.what,
               &end) != 4 ||
        wanted.count < 1)
        return -1;
    wanted.armed = 1;
    return strcmp(wanted.what, "error") == 0 || strcmp(wanted.what, "delay") == 0 ||
                   strcmp(wanted.what, "death") == 0
               ? 0
               : -1;
}

int inject_begin(int *nwords, char ***words, struct arena *a, struct err *e)
{
    char **kept, **given = *words;
    int n = 0;
    if (arena_array(a, "inject", *nwords + 1, &kept, e) != ERR_OK)
        return 0;
    for (int i = 0; i < *nwords; i++) {
        const char *wish = strcmp(given[i], "--inject") == 0 ? given[i + 1] : NULL;
        if (!wish) {
            kept[n++] = given[i];
            continue;
        }
        i++;
        if (strcmp(wish, "list") == 0) {
            list_sites();
            return 1;
        }
        if (strncmp(wish, "trace:", 6) == 0)
            wanted.trace = wish + 6;
        else if (read_wish(wish) != 0)
            err_set(e, ERR_CONFIG, "--inject %s: expected SITE:PROCESS:COUNT:WHAT, list or trace:FILE", wish);
    }
    *nwords = n;
    *words = kept;
    return 0;
}

void inject_process(int me)
{
    wanted.me = me;
}

void inject_end(void)
{
    if (wanted.trace)
        write_trace();
}

#endif
