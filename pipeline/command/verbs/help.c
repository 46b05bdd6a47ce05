#include "command/verbs/help.h"

#include "command/cli.h"

const char help_program[] = "measures what reinforcement learning changed in a language model";
const char help_usage[] = "[mpirun -n N] sinew VERB CONFIG [options]";
const char help_config[] = "CONFIG is a study in YAML; configs/reference.yaml explains every key.\n";
const char help_statuses[] =
    "Exit status: 0 done, 2 config or usage, 3 input data, 4 system (file, memory, library), 5 numeric,\n"
    "70 internal error, 75 interrupted and resumable.\n";

/* A line per option, more where its help has more. */
static void print_options(FILE *to, const struct verb_option *o)
{
    for (; o && o->name; o++) {
        char named[64];
        if (!o->help)
            continue;
        snprintf(named, sizeof named, "%s%s%s", o->name, o->argument ? " " : "",
                 o->argument ? o->argument : "");
        if (o->letter)
            fprintf(to, "  -%c, --%-13s", o->letter, named);
        else
            fprintf(to, "      --%-13s", named);
        if (strlen(named) > 12)
            fprintf(to, "\n%21s", "");
        for (const char *p = o->help; *p; p++)
            if (*p == '\n')
                fprintf(to, "\n%21s", "");
            else
                fputc(*p, to);
        fputc('\n', to);
    }
}

void help_print(FILE *to, const struct verb *about)
{
    if (about) {
        fprintf(to, "sinew %s %s\n  %s\n\n", about->name, about->args, about->brief);
        print_options(to, about->options);
        fputs(about->more, to);
        print_options(to, cli_options);
        fprintf(to, "\n%s", help_statuses);
        return;
    }
    fprintf(to, "sinew %s.\n\n  %s\n\n", help_program, help_usage);
    for (int i = 0; verb_table[i]; i++)
        if (verb_table[i]->place == VERB_FIRST)
            fprintf(to, "  %-8s %s\n", verb_table[i]->name, verb_table[i]->brief);
    fprintf(to,
            "\n  sinew VERB --help explains a verb, sinew --version says which version this is.\n"
            "  %s\n%s",
            help_config, help_statuses);
}

/* The verb whose help is wanted, if there is one. */
static err_t help_words(struct cli *c, int n, char **words, struct err *e)
{
    return n > 0 ? verb_find(words[0], &c->about, e) : ERR_OK;
}

/* Help on help is the program's. */
static void help_say(const struct cli *c)
{
    help_print(stdout, c->about == &verb_help ? NULL : c->about);
}

const struct verb verb_help = {
    .name = "help",
    .args = "[VERB]",
    .brief = "this text, or a verb's",
    .more = "",
    .place = VERB_SECOND,
    .words = help_words,
    .say = help_say,
};
