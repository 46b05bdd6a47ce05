/* Hub: a model as the cache of the Hugging Face hub keeps it on disk.
 *
 * models--ORG--NAME holds blobs/ (the files by hash), snapshots/REVISION/ (a folder of links to them, laid
 * out as the model is published) and refs/BRANCH (a text: the revision that the branch had when it was
 * fetched; of huggingface_hub). Who names that folder means the snapshot of refs/main. */
#ifndef SINEW_HUB_H
#define SINEW_HUB_H

#include "base/err.h"
#include "base/mem.h"

/* Local. The path that `path` stands for, into *to: the snapshot of a folder of the cache, which refs/main
 * names or which is the only one; of everything else `path` itself. *note: what was taken, NULL where nothing
 * was chosen. Errors: DATA where the folder has no such snapshot, or several and no word which; what is
 * incomplete there. */
err_t hub_resolve(const char *path, const char **to, const char **note, struct arena *a, struct err *e);

/* Local. Where a model by its name on the hub, ORG/NAME or ORG/NAME@REVISION (a branch, a tag or a commit),
 * lies in the hub's cache on this machine: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub.
 * *to: its folder there, without a revision the one that hub_resolve knows; NULL where the text is no such
 * name, or the cache has it not. *cache: where it was looked for; NULL where it was not. Nothing is fetched.
 * Errors: SYSTEM (memory). */
err_t hub_locate(const char *name, const char **to, const char **cache, struct arena *a, struct err *e);

#endif
