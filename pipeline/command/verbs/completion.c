#include "command/cli.h"

#include <stdio.h>
#include <string.h>

/* What bash and zsh complete on a command line of sinew, told from the table of verbs; the build installs it.
 */

/* ---- bash ---- */

static void put_options(const struct verb_option *o)
{
    for (; o && o->name; o++)
        printf(" --%s", o->name);
}

static void say_bash(void)
{
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

/* ---- zsh ---- */

/* A text within single quotes and, in a specification of _arguments, within [] or between colons. Of several
 * lines the first. */
static void put_quoted(const char *text)
{
    for (const char *p = text; *p && *p != '\n'; p++) {
        if (*p == '\'')
            fputs("'\\''", stdout);
        else if (strchr("[]:\\", *p))
            printf("\\%c", *p);
        else
            fputc(*p, stdout);
    }
}

/* 'OPTION[help]:ARGUMENT:FILES', '*' before one that may be repeated; a letter is a specification of its own.
 */
static void put_specification(const struct verb_option *o, int letter)
{
    printf(" \\\n            '%s-", o->kind == OPTION_LIST ? "*" : "");
    if (letter)
        printf("%c", o->letter);
    else
        printf("-%s%s", o->name, o->argument ? "=" : "");
    printf("[");
    put_quoted(o->help ? o->help : o->name);
    printf("]");
    if (o->argument) {
        printf(":");
        put_quoted(o->argument);
        printf(":_files");
    }
    printf("'");
}

static void put_specifications(const struct verb_option *o)
{
    for (; o && o->name; o++) {
        put_specification(o, 0);
        if (o->letter)
            put_specification(o, 1);
    }
}

static void say_zsh(void)
{
    printf("#compdef sinew\n"
           "_sinew() {\n"
           "    local -a verbs\n"
           "    verbs=(");
    for (int i = 0; verb_table[i]; i++) {
        if (verb_table[i]->place == VERB_HIDDEN)
            continue;
        printf("\n        '%s:", verb_table[i]->name);
        put_quoted(verb_table[i]->brief);
        printf("'");
    }
    printf("\n    )\n"
           "    if (( CURRENT == 2 )); then\n"
           "        _describe verb verbs\n"
           "        _values option --help --version\n"
           "        return\n"
           "    fi\n"
           "    local verb=$words[2]\n"
           "    shift words\n"
           "    (( CURRENT-- ))\n"
           "    case $verb in\n");
    for (int i = 0; verb_table[i]; i++) {
        if (verb_table[i]->place == VERB_HIDDEN)
            continue;
        printf("    %s)\n        _arguments -s -S", verb_table[i]->name);
        put_specifications(verb_table[i]->options);
        put_specifications(cli_options);
        printf(" \\\n            '*:file:_files' ;;\n");
    }
    printf("    esac\n"
           "}\n"
           "if [ \"$funcstack[1]\" = _sinew ]; then\n"
           "    _sinew \"$@\"\n"
           "else\n"
           "    compdef _sinew sinew\n"
           "fi\n");
}

/* ---- the verb ---- */

static void completion_say(const struct cli *c)
{
    if (c->shell && strcmp(c->shell, "zsh") == 0)
        say_zsh();
    else
        say_bash();
}

static err_t completion_words(struct cli *c, int n, char **words, struct err *e)
{
    if (n > 1)
        return err_set(e, ERR_CONFIG, "'sinew %s' wants one word, bash or zsh; %d given", c->verb->name, n);
    if (n == 1 && strcmp(words[0], "bash") != 0 && strcmp(words[0], "zsh") != 0)
        return err_set(e, ERR_CONFIG, "'sinew %s' knows bash and zsh, not '%s'", c->verb->name, words[0]);
    c->shell = n == 1 ? words[0] : NULL;
    return ERR_OK;
}

const struct verb verb_completion = {
    .name = "completion",
    .args = "[bash|zsh]",
    .brief = "what a shell completes, for the installation",
    .more = "",
    .place = VERB_HIDDEN,
    .words = completion_words,
    .say = completion_say,
};
