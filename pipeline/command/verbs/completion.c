#include "command/cli.h"

#include <stdio.h>

/* What bash completes on a command line of sinew, told from the table of verbs; the build installs it. */

static void put_options(const struct verb_option *o)
{
    for (; o && o->name; o++)
        printf(" --%s", o->name);
}

static void completion_say(const struct cli *c)
{
    (void)c;
    printf("_sinew() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]:-} options=\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -W '--help --version");
    for (int i = 0; verb_table[i]; i++)
        if (verb_table[i]->place != VERB_HIDDEN)
            printf(" %s", verb_table[i]->name);
    printf("' -- \"$word\")\n"
           "        return\n"
           "    fi\n"
           "    case $verb in\n");
    for (int i = 0; verb_table[i]; i++) {
        if (verb_table[i]->place == VERB_HIDDEN)
            continue;
        printf("    %s) options='", verb_table[i]->name);
        put_options(verb_table[i]->options);
        put_options(cli_options);
        printf("' ;;\n");
    }
    printf("    esac\n"
           "    compopt -o filenames 2>/dev/null\n"
           "    case $word in\n"
           "    -*) mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\") ;;\n"
           "    *) mapfile -t COMPREPLY < <(compgen -f -- \"$word\") ;;\n"
           "    esac\n"
           "}\n"
           "complete -F _sinew sinew\n");
}

static err_t completion_words(struct cli *c, int n, char **words, struct err *e)
{
    (void)words;
    if (n > 0)
        return err_set(e, ERR_CONFIG, "'sinew %s' wants no words, %d given", c->verb->name, n);
    return ERR_OK;
}

const struct verb verb_completion = {
    .name = "completion",
    .args = "",
    .brief = "what bash completes, for the installation",
    .more = "",
    .place = VERB_HIDDEN,
    .words = completion_words,
    .say = completion_say,
};
