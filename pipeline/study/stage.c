#include "study/stage.h"

#include <string.h>

const struct input *ctx_input(const struct ctx *ctx, const char *kind, const char *role)
{
    for (int i = 0; i < ctx->ninputs; i++)
        if (strcmp(ctx->inputs[i].kind, kind) == 0 && (!role || strcmp(ctx->inputs[i].role, role) == 0))
            return &ctx->inputs[i];
    return NULL;
}

int stage_writes(const struct stage *s, const struct dataset *d)
{
    for (const struct dataset *x = s->datasets; x && x->name; x++)
        if (strcmp(x->name, d->name) == 0)
            return 1;
    return 0;
}

void ctx_progress(struct ctx *ctx, double fraction, double bytes)
{
    *ctx->bytes_done += bytes;
    if (ctx->progress)
        progress_at(ctx->progress, ctx->progress_done, fraction, *ctx->bytes_done);
}
