#include "formats/folders/placeholders.h"

static int is_placeholder(const struct stored_tensor *t)
{
    return t->ndim == 1 && t->elements == 0 && dtype_is_compared(t->dtype);
}

int64_t placeholders_count(const struct stored_list *list)
{
    int64_t n = 0;
    for (int64_t i = 0; i < list->ntensors; i++)
        n += is_placeholder(&list->tensors[i]);
    return 2 * n >= list->ntensors ? n : 0;
}

err_t placeholders_refuse(const struct stored_list *list, const char *path, struct err *e)
{
    int64_t n = placeholders_count(list), i = 0;
    if (n == 0)
        return ERR_OK;
    while (!is_placeholder(&list->tensors[i]))
        i++;
    return err_set(
        e, ERR_DATA,
        "%s: %lld of %lld tensors (%s, ...) have shape 0: DeepSpeed's ZeRO 3 saved them without gathering "
        "its ranks' parts (stage3_gather_16bit_weights_on_model_save is off), so that the weights are not "
        "here; name the folder that holds its file latest, or write them from there with: python3 "
        "zero_to_fp32.py . OUTPUT",
        path, (long long)n, (long long)list->ntensors, list->tensors[i].name);
}
