#include "command/cli.h"

#include "base/path.h"
#include "command/draft.h"
#include "command/naming.h"
#include "formats/format.h"

#include <stdio.h>

static err_t init_words(struct cli *c, int n, char **words, struct err *e)
{
    if (n < 1)
        return err_set(e, ERR_CONFIG,
                       "'sinew init' wants one FOLDER or more to look in; 'sinew init --help' explains");
    c->folders = words;
    c->nfolders = n;
    return ERR_OK;
}

/* After the folder that was given last: the others are its base, more often than not. */
static err_t study_name(const struct cli *c, char **out, struct arena *a, struct err *e)
{
    char *path = path_absolute(a, c->folders[c->nfolders - 1], e);
    return path ? naming_folder(path, out, a, e) : e->code;
}

static err_t refuse_nothing(const struct cli *c, const struct survey *s, struct arena *a, struct err *e)
{
    char *wanted = format_wanted(a, e);
    const struct survey_note *note = s->nnotes > 0 ? &s->notes[0] : NULL;
    if (!wanted)
        return e->code;
    return err_set(
        e, ERR_DATA,
        "%s%s: no checkpoint in it or below it: looked for %s in %lld folder%s, %d levels deep%s%s%s%s",
        c->folders[0], c->nfolders > 1 ? " and the other folders" : "", wanted, (long long)s->nfolders,
        s->nfolders == 1 ? "" : "s", SURVEY_DEPTH, note ? "; " : "", note ? note->path : "", note ? ": " : "",
        note ? note->why : "");
}

static err_t init_look(const struct cli *c, struct arena *a, struct err *e)
{
    struct log log;
    log_init(&log, LOG_QUIET, 1);
    struct survey s = {.arena = a, .log = &log};
    struct proposal p = {.survey = &s, .arena = a};
    struct text study = {.arena = a};
    for (int i = 0; i < c->nfolders; i++)
        TRY(survey_look(&s, c->folders[i], e));
    TRY(survey_end(&s, e));
    if (s.n == 0)
        return refuse_nothing(c, &s, a, e);
    TRY(proposal_make(&p, e));
    char *name;
    TRY(study_name(c, &name, a, e));
    TRY(draft_write(&study, &p, name, e));
    fputs(study.text, stdout);
    return fflush(stdout) == 0 ? ERR_OK
                               : err_set(e, ERR_SYSTEM, "the study cannot be written to the standard output");
}

const struct verb verb_init = {
    .name = "init",
    .args = "FOLDER...",
    .brief = "look for checkpoints in folders, print the study that they seem to be",
    .more =
        "Give the folder that the trainer wrote, and the base's before it where the base lies elsewhere:\n"
        "  sinew init ~/models/Qwen2.5-7B ~/runs/grpo > study.yaml\n"
        "Steps, seeds and algorithms are read from the names of folders; each pair is matched from headers, so\n"
        "that 'sinew check study.yaml' finds it in order. What was guessed or left out is said in comments.\n"
        "Exit status 3 where there is no checkpoint, or none that can be compared.\n",
    .words = init_words,
    .look = init_look,
};
