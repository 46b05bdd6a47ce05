#include "command/verb.h"

#include "base/text.h"

#include <string.h>

extern const struct verb verb_compare, verb_init, verb_check, verb_plan, verb_run, verb_status, verb_verify,
    verb_report, verb_export, verb_manual, verb_completion;

const struct verb *const verb_table[] = {
    &verb_compare, &verb_init,   &verb_check, &verb_plan,    &verb_run,    &verb_status,     &verb_verify,
    &verb_report,  &verb_export, &verb_help,  &verb_version, &verb_manual, &verb_completion, NULL,
};

enum { MOST_VERBS = 32 }; /* that a misspelt word is compared with */

err_t verb_find(const char *name, const struct verb **out, struct err *e)
{
    const char *names[MOST_VERBS];
    int n = 0;
    for (int i = 0; verb_table[i]; i++) {
        if (strcmp(verb_table[i]->name, name) == 0) {
            *out = verb_table[i];
            return ERR_OK;
        }
        if (verb_table[i]->place != VERB_HIDDEN && n < MOST_VERBS)
            names[n++] = verb_table[i]->name;
    }
    struct text_hint hint;
    return err_set(e, ERR_CONFIG, "unknown verb '%s'%s; 'sinew --help' lists them", name,
                   text_meant(&hint, name, names, n, ", ", "'", ""));
}

const struct verb_option *verb_option(const struct verb *v, const char *name)
{
    for (const struct verb_option *o = v->options; o && o->name; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}
