/* Which stack of layers a name belongs to: real checkpoints' names, seen together, and hostile ones. */
#include "elements/stack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NAMES = 8 };

struct expected {
    const char *name, *stack;
    int64_t layer;
};

/* What a checkpoint of these names has: each one's stack and layer. */
static const struct model {
    const char *what;
    struct expected t[NAMES];
} models[] = {
    {"Llama, Qwen2, Qwen3",
     {{"model.layers.12.self_attn.q_proj.weight", "", 12},
      {"model.layers.0.self_attn.q_norm.weight", "", 0},
      {"model.embed_tokens.weight", "", -1},
      {"lm_head.weight", "", -1}}},
    {"Qwen2-VL, Qwen2.5-VL as published",
     {{"visual.blocks.0.attn.qkv.weight", "visual", 0},
      {"visual.blocks.31.mlp.gate_proj.weight", "visual", 31},
      {"visual.merger.mlp.0.weight", "visual", -1},
      {"visual.patch_embed.proj.weight", "visual", -1},
      {"model.layers.0.mlp.gate_proj.weight", "", 0},
      {"model.norm.weight", "", -1},
      {"lm_head.weight", "", -1}}},
    {"Qwen2.5-VL, Qwen3-VL as transformers saves them",
     {{"model.visual.blocks.7.mlp.linear_fc1.weight", "visual", 7},
      {"model.visual.deepstack_merger_list.0.norm.weight", "visual", -1},
      {"model.visual.pos_embed.weight", "visual", -1},
      {"model.language_model.layers.7.mlp.gate_proj.weight", "", 7},
      {"model.language_model.embed_tokens.weight", "", -1}}},
    {"LLaVA",
     {{"vision_tower.vision_model.encoder.layers.3.mlp.fc1.weight", "vision_tower", 3},
      {"vision_tower.vision_model.embeddings.class_embedding", "vision_tower", -1},
      {"multi_modal_projector.linear_1.weight", "multi_modal_projector", -1},
      {"language_model.model.layers.3.mlp.up_proj.weight", "", 3},
      {"language_model.lm_head.weight", "", -1},
      {"image_newline", "", -1}}},
    {"Gemma 3, Mistral 3",
     {{"model.vision_tower.vision_model.encoder.layers.0.layer_norm1.bias", "vision_tower", 0},
      {"model.vision_tower.transformer.layers.1.attention.q_proj.weight", "vision_tower", 1},
      {"vision_encoder.transformer.layers.1.attention.wq.weight", "vision_encoder", 1},
      {"model.multi_modal_projector.mm_input_projection_weight", "multi_modal_projector", -1},
      {"model.language_model.layers.0.mlp.up_proj.weight", "", 0}}},
    {"Gemma 3n",
     {{"model.vision_tower.timm_model.blocks.2.0.conv.weight", "vision_tower", 2},
      {"model.audio_tower.conformer.0.norm.weight", "audio_tower", -1},
      {"model.language_model.layers.2.altup.modality_router.weight", "", 2},
      {"model.embed_vision.embedding.weight", "embed_vision", -1}}},
    {"InternVL",
     {{"vision_model.encoder.layers.5.attn.qkv.weight", "vision_model", 5},
      {"language_model.model.layers.5.mlp.down_proj.weight", "", 5},
      {"mlp1.0.weight", "", -1}}},
    {"Llama 3.2 Vision: two stacks in the tower",
     {{"vision_model.transformer.layers.0.mlp.fc1.weight", "vision_model", 0},
      {"vision_model.global_transformer.layers.0.mlp.fc1.weight", "vision_model.global_transformer", 0},
      {"language_model.model.layers.0.mlp.up_proj.weight", "", 0},
      {"multi_modal_projector.weight", "multi_modal_projector", -1}}},
    {"Phi-4-multimodal",
     {{"model.embed_tokens_extend.image_embed.img_processor.encoder.layers.0.mlp.fc1.weight", "image_embed",
       0},
      {"model.embed_tokens_extend.audio_embed.encoder.encoders.0.self_attn.linear_q.weight", "audio_embed",
       -1},
      {"model.embed_tokens_extend.image_embed.glb_GN", "image_embed", -1},
      {"model.layers.0.self_attn.qkv_proj.base_layer.weight", "", 0}}},
    {"Qwen2.5-Omni",
     {{"thinker.model.layers.0.self_attn.q_proj.weight", "", 0},
      {"thinker.visual.blocks.0.attn.q.weight", "visual", 0},
      {"thinker.audio_tower.layers.0.fc1.weight", "audio_tower", 0},
      {"talker.model.layers.0.self_attn.q_proj.weight", "talker", 0},
      {"thinker.lm_head.weight", "", -1}}},
    {"GLM-4V: the language model is called an encoder",
     {{"transformer.encoder.layers.2.mlp.dense_h_to_4h.weight", "", 2},
      {"transformer.vision.transformer.layers.2.mlp.fc1.weight", "vision", 2},
      {"transformer.embedding.word_embeddings.weight", "", -1}}},
    {"BLIP-2 on OPT",
     {{"vision_model.encoder.layers.0.mlp.fc1.weight", "vision_model", 0},
      {"qformer.encoder.layer.0.attention.attention.query.weight", "qformer", 0},
      {"language_model.model.decoder.layers.0.fc1.weight", "", 0},
      {"language_model.model.decoder.final_layer_norm.weight", "", -1}}},
    {"Whisper, BART",
     {{"model.encoder.layers.0.fc1.weight", "encoder", 0},
      {"model.decoder.layers.0.fc1.weight", "decoder", 0},
      {"model.decoder.embed_tokens.weight", "decoder", -1},
      {"model.shared.weight", "", -1},
      {"proj_out.weight", "", -1}}},
    {"T5",
     {{"encoder.block.0.layer.1.DenseReluDense.wi.weight", "encoder", 0},
      {"decoder.block.0.layer.2.DenseReluDense.wi.weight", "decoder", 0},
      {"encoder.final_layer_norm.weight", "encoder", -1},
      {"shared.weight", "", -1}}},
    {"OPT", {{"model.decoder.layers.11.fc1.weight", "", 11}, {"model.decoder.embed_tokens.weight", "", -1}}},
    {"GPT-2",
     {{"h.2.ln_1.weight", "", 2}, {"transformer.h.3.attn.c_attn.weight", "", 3}, {"wte.weight", "", -1}}},
    {"GPT-NeoX", {{"gpt_neox.layers.4.attention.dense.weight", "", 4}, {"embed_out.weight", "", -1}}},
    {"Falcon", {{"transformer.h.0.mlp.dense_4h_to_h.weight", "", 0}, {"lm_head.weight", "", -1}}},
    {"Mamba", {{"backbone.layers.9.mixer.in_proj.weight", "", 9}, {"backbone.norm_f.weight", "", -1}}},
    {"BERT, a decoder by name of its head",
     {{"bert.encoder.layer.7.output.dense.weight", "", 7},
      {"cls.predictions.decoder.weight", "", -1},
      {"bert.embeddings.word_embeddings.weight", "", -1}}},
    {"DeepSeek-V3: its extra layer is the stack's own by name",
     {{"model.layers.60.mlp.gate.weight", "", 60},
      {"model.layers.61.eh_proj.weight", "", 61},
      {"model.layers.61.embed_tokens.weight", "", 61}}},
    {"Qwen3-Next, Qwen3.5",
     {{"model.layers.0.linear_attn.A_log", "", 0},
      {"mtp.layers.0.mlp.gate.weight", "mtp", 0},
      {"mtp.fc.weight", "mtp", -1},
      {"mtp.norm.weight", "mtp", -1}}},
    {"MiMo, Ernie 4.5, LongCat",
     {{"model.mtp_layers.0.input_proj.weight", "mtp_layers", -1},
      {"model.mtp_block.0.mlp.up_proj.weight", "mtp_block", -1},
      {"model.mtp.layers.0.eh_proj.weight", "mtp", 0},
      {"model.layers.0.mlp.up_proj.weight", "", 0}}},
    {"Megatron Core",
     {{"decoder.layers.3.mlp.linear_fc1.weight", "", 3},
      {"decoder.final_layernorm.weight", "", -1},
      {"mtp.layers.0.transformer_layer.mlp.linear_fc1.weight", "mtp", 0},
      {"embedding.word_embeddings.weight", "", -1},
      {"output_layer.weight", "", -1}}},
    {"Megatron Core, T5",
     {{"encoder.layers.3.mlp.linear_fc1.weight", "encoder", 3},
      {"decoder.layers.3.mlp.linear_fc1.weight", "decoder", 3}}},
    {"Megatron Core, LLaVA",
     {{"vision_model.decoder.layers.1.mlp.linear_fc1.weight", "vision_model.decoder", 1},
      {"language_model.decoder.layers.1.mlp.linear_fc1.weight", "", 1}}},
    {"torchtitan", {{"layers.5.attention.wq.weight", "", 5}, {"tok_embeddings.weight", "", -1}}},
    {"timm", {{"blocks.9.norm1.weight", "", 9}, {"patch_embed.proj.weight", "", -1}}},
    {"a vision tower by itself",
     {{"vision_model.encoder.layers.9.mlp.fc1.weight", "", 9},
      {"vision_model.embeddings.patch_embedding.weight", "", -1}}},
    {"CLIP",
     {{"vision_model.encoder.layers.0.mlp.fc1.weight", "vision_model", 0},
      {"text_model.encoder.layers.0.mlp.fc1.weight", "", 0}}},
    {"wrappers",
     {{"_orig_mod.model.layers.1.mlp.up_proj.weight", "", 1},
      {"module.model.layers.1.mlp.up_proj.weight", "", 1},
      {"_fsdp_wrapped_module.model.layers.1._fsdp_wrapped_module.mlp.up_proj.weight", "", 1},
      {"base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight", "", 1},
      {"base_model.model.visual.blocks.1.attn.qkv.weight", "visual", 1},
      {"pretrained_model.model.layers.1.mlp.up_proj.weight", "", 1},
      {"v_head.summary.weight", "", -1}}},
    {"one stack of a name of its own", {{"actor.model.layers.1.mlp.up_proj.weight", "", 1}}},
    {"two of these",
     {{"actor.model.layers.1.mlp.up_proj.weight", "actor", 1},
      {"critic.model.layers.1.mlp.up_proj.weight", "critic", 1},
      {"draft_model.layers.1.mlp.up_proj.weight", "draft_model", 1}}},
    {"hostile",
     {{"model.layers.0.w", "", 0},
      {"layers.99999999999.w", "", -1},
      {"visual.layers.99999999999999999999.w", "visual", -1},
      {"visual...blocks.1", "visual", 1},
      {"", "", -1},
      {".", "", -1},
      {"..layers.1.", "", 1},
      {"\xc3\x28visual.blocks.2.\xff", "\xc3\x28visual", 2}}},
};

static void test_models(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        for (int turned = 0; turned < 2; turned++) {
            const struct model *m = &models[i];
            struct stacks s = {.own = 0};
            struct stack_place p;
            int n = 0;
            while (n < NAMES && m->t[n].name)
                n++;
            for (int k = 0; k < n; k++) /* in either order */
                stacks_see(&s, m->t[turned ? n - 1 - k : k].name);
            for (int k = 0; k < n; k++) {
                stacks_place(&s, m->t[k].name, &p);
                if (p.layer != m->t[k].layer || strcmp(p.stack, m->t[k].stack) != 0)
                    fail_msg("%s: %s: expected layer %lld of \"%s\", found %lld of \"%s\"", m->what,
                             m->t[k].name, (long long)m->t[k].layer, m->t[k].stack, (long long)p.layer,
                             p.stack);
            }
        }
}

/* By the name alone: what multi-token prediction and the language model's own layers hang on. */
static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum stack_kind kind;
        const char *stack;
    } cases[] = {
        {"model.layers.61.eh_proj.weight", STACK_OWN, ""},
        {"model.language_model.layers.61.eh_proj.weight", STACK_OWN, ""},
        {"mtp.fc.weight", STACK_MTP, "mtp"},
        {"module.mtp.layers.0.w", STACK_MTP, "mtp"},
        {"model.mtp_hidden_norm.0.weight", STACK_MTP, "mtp_hidden_norm"},
        {"mtp", STACK_OWN, ""}, /* a parameter's own name */
        {"vision.layers.7.q.weight", STACK_TOWER, "vision"},
        {"decoder.layers.7.q.weight", STACK_NAMED, "decoder"},
        {"model.layers.7.vision_expert.weight", STACK_OWN, ""},
        {"vision_language_model.layers.7.q.weight", STACK_OWN, ""},
        {"resnet.encoder.stages.0.layers.1.w", STACK_NAMED, "resnet.encoder.stages.0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stack_place p;
        stack_place_of(cases[i].name, &p);
        if (p.kind != cases[i].kind || strcmp(p.stack, cases[i].stack) != 0)
            fail_msg("%s: kind %d, stack \"%s\"", cases[i].name, (int)p.kind, p.stack);
    }
}

/* A checkpoint of multi-token prediction alone is that still. */
static void test_only_mtp(void **state)
{
    (void)state;
    struct stacks s = {.own = 0};
    struct stack_place p;
    stacks_see(&s, "mtp.layers.0.w");
    stacks_place(&s, "mtp.layers.0.w", &p);
    assert_string_equal(p.stack, "mtp");
    assert_int_equal(p.kind, STACK_MTP);
}

/* Names of any length: the stack is cut to its room, between characters. */
static void test_long(void **state)
{
    (void)state;
    enum { LONG = 200000 };
    char *name = malloc(LONG + 40);
    struct stack_place p;
    assert_non_null(name);
    for (int i = 0; i < LONG; i += 2)
        memcpy(name + i, "\xc3\xa9", 2); /* e with an accent */
    snprintf(name + LONG, 40, "%s", ".layers.3.w");
    stack_place_of(name, &p);
    assert_int_equal(p.layer, 3);
    assert_int_equal(strlen(p.stack), STACK_BYTES - 2);
    assert_memory_equal(p.stack + STACK_BYTES - 4, "\xc3\xa9", 2);
    for (int i = 0; i < LONG; i += 2)
        memcpy(name + i, "a.", 2);
    snprintf(name + LONG, 40, "%s", "layers.3.w");
    stack_place_of(name, &p);
    assert_int_equal(strlen(p.stack), STACK_BYTES - 1);
    memset(name, '.', LONG);
    stack_place_of(name, &p);
    assert_string_equal(p.stack, "");
    free(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_only_mtp),
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
