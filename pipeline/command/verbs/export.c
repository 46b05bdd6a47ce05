#include "command/cli.h"

#include "base/text.h"

#include <stddef.h>
#include <string.h>

/* What to export, and CONFIG. One cell is wanted, and where to. */
static err_t export_words(struct cli *c, int n, char **words, struct err *e)
{
    static const char *const kinds[] = {"mask"};
    struct export_request *x = &c->export;
    if (n != 2)
        return err_set(
            e, ERR_CONFIG,
            "'sinew export' wants what to export (mask) and one CONFIG file, %d words given; 'sinew "
            "export --help' explains",
            n);
    if (strcmp(words[0], kinds[0]) != 0) {
        struct text_hint hint;
        return err_set(e, ERR_CONFIG, "'sinew export' knows no '%s'%s; it exports: mask", words[0],
                       text_meant(&hint, words[0], kinds, 1, ", ", "'", ""));
    }
    const char *missing = c->selection.cells.n != 1 ? "one --cell"
                          : !x->node                ? "--node"
                          : !x->to                  ? "--to"
                                                    : NULL;
    if (missing)
        return err_set(e, ERR_CONFIG, "'sinew export mask' wants %s; 'sinew export --help' explains",
                       missing);
    x->what = words[0];
    x->cell = c->selection.cells.v[0];
    x->force = c->selection.force;
    c->config = words[1];
    return c->export_format ? export_format_find(c->export_format, &x->format, e) : ERR_OK;
}

static err_t export_run(struct runner *r, const struct cli *c, struct err *e)
{
    return export_mask(r, &c->export, e);
}

static const struct verb_option export_options[] = {
    {"cell", 'c', "CELL", "the cell: FAMILY/ALGORITHM/SEED[+DATA][@STEP]", OPTION_LIST,
     offsetof(struct cli, selection.cells), NULL},
    {"node", 'n', "NODE", "the node of kind mask, which must have run", OPTION_TEXT,
     offsetof(struct cli, export.node), NULL},
    {"to", 'o', "FILE", "the file to write", OPTION_TEXT, offsetof(struct cli, export.to), NULL},
    {"format", '\0', "WORD",
     "bytes (default): 0 and 1, a tensor of each parameter's name and shape;\n"
     "bits: packed, 8 elements to a byte, least significant bit first, row major",
     OPTION_TEXT, offsetof(struct cli, export_format), NULL},
    {"force", 'f', NULL, "overwrite FILE; never one with tensors that sinew did not export", OPTION_FLAG,
     offsetof(struct cli, selection.force), NULL},
    {0},
};

const struct verb verb_export = {
    .name = "export",
    .args = "mask CONFIG --cell CELL --node NODE --to FILE [--format bytes|bits] [--force]",
    .brief = "a cell's mask as a safetensors file, for masking gradients in a trainer",
    .more = "Exit status 3 where the mask is missing or stale; the message says what to run.\n",
    .options = export_options,
    .words = export_words,
    .run = export_run,
};
