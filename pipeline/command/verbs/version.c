#include "version.h"

#include "command/cli.h"

#include <stdio.h>

static err_t version_words(struct cli *c, int n, char **words, struct err *e)
{
    (void)c, (void)n, (void)words, (void)e;
    return ERR_OK;
}

static void version_say(const struct cli *c)
{
    (void)c;
    printf("sinew %s%s%s (%s)\n", SINEW_VERSION, SINEW_COMMIT[0] ? ", commit " : "", SINEW_COMMIT,
           SINEW_BUILD);
}

const struct verb verb_version = {
    .name = "version",
    .args = "",
    .brief = "version, commit and build",
    .more = "",
    .place = VERB_SECOND,
    .words = version_words,
    .say = version_say,
};
