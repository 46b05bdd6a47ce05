#include "command/verbs/help.h"

#include "command/cli.h"
#include "version.h"

#include <stdio.h>
#include <string.h>

/* The manual page sinew(1) in roff, told from what the help is told from; the build installs it. */

/* Text as roff prints it: no line may begin with a control character, and a minus that is typed is no hyphen.
 */
static void put_text(const char *text)
{
    for (const char *p = text; *p; p++) {
        if ((p == text || p[-1] == '\n') && (*p == '.' || *p == '\''))
            fputs("\\&", stdout);
        if (*p == '\\')
            fputs("\\e", stdout);
        else if (*p == '-')
            fputs("\\-", stdout);
        else
            fputc(*p, stdout);
    }
}

/* Each line as one; the last may lack its end. */
static void put_lines(const char *lines)
{
    while (*lines) {
        size_t n = strcspn(lines, "\n");
        char line[200];
        snprintf(line, sizeof line, "%.*s", (int)n, lines);
        put_text(line);
        lines += n + (lines[n] == '\n');
        printf(*lines ? "\n.br\n" : "\n");
    }
}

static void put_options(const struct verb_option *o)
{
    for (; o && o->name; o++) {
        if (!o->help)
            continue;
        printf(".TP\n");
        if (o->letter)
            printf("\\fB\\-%c\\fR, ", o->letter);
        printf("\\fB\\-\\-%s\\fR", o->name);
        if (o->argument)
            printf(" \\fI%s\\fR", o->argument);
        fputc('\n', stdout);
        put_lines(o->help);
    }
}

static void put_verb(const struct verb *v)
{
    printf(".SS \"sinew %s%s", v->name, v->args[0] ? " " : "");
    put_text(v->args);
    printf("\"\n");
    put_text(v->brief);
    printf(".\n");
    put_options(v->options);
    if (v->more[0])
        printf(".PP\n");
    put_lines(v->more);
}

static void manual_say(const struct cli *c)
{
    (void)c;
    printf(".TH SINEW 1 \"\" \"sinew %s\" \"User Commands\"\n.SH NAME\nsinew \\- %s\n.SH SYNOPSIS\n.nf\n",
           SINEW_VERSION, help_program);
    put_text(help_usage);
    printf("\nsinew help [VERB]\n.fi\n.SH DESCRIPTION\nsinew %s.\n", help_program);
    put_text(help_config);
    printf(".SH VERBS\n");
    for (int i = 0; verb_table[i]; i++)
        if (verb_table[i]->place != VERB_HIDDEN)
            put_verb(verb_table[i]);
    printf(".SH OPTIONS OF ALL VERBS\n");
    put_options(cli_options);
    printf(".SH EXIT STATUS\n");
    put_text(help_statuses + strlen("Exit status: "));
}

static err_t manual_words(struct cli *c, int n, char **words, struct err *e)
{
    (void)words;
    if (n > 0)
        return err_set(e, ERR_CONFIG, "'sinew %s' wants no words, %d given", c->verb->name, n);
    return ERR_OK;
}

const struct verb verb_manual = {
    .name = "manual",
    .args = "",
    .brief = "the manual page in roff, for the installation",
    .more = "",
    .place = VERB_HIDDEN,
    .words = manual_words,
    .say = manual_say,
};
