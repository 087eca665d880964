"""Copies, collectives, paddings and cycles, read from lines that XLA:TPU printed."""

import pytest

from benchmarks import compiled_text

# A loop of twelve rounds over a product, a stack, a copy, and sums between devices.
PROGRAM = """\
HloModule jit_train_step, is_scheduled=true

%fused_product.1 (param_0.1: bf16[16,768], param_1.1: bf16[768,3072]) -> bf16[16,3072] {
  %param_0.1 = bf16[16,768]{1,0:T(8,128)(2,1)} parameter(0)
  %param_1.1 = bf16[768,3072]{1,0:T(8,128)(2,1)} parameter(1)
  ROOT %convolution.1 = bf16[16,3072]{1,0:T(8,128)(2,1)} convolution(%param_0.1, \
%param_1.1), dim_labels=bf_io->bf, metadata={op_name="jit(train_step)/dot_general"}
}

%fused_stack.1 (param_0.2: bf16[12,16,3072], param_1.2: bf16[16,3072], param_2.2: \
s32[]) -> bf16[12,16,3072] {
  %param_0.2 = bf16[12,16,3072]{2,1,0:T(8,128)(2,1)} parameter(0)
  %param_1.2 = bf16[16,3072]{1,0:T(8,128)(2,1)} parameter(1)
  %param_2.2 = s32[]{:T(128)S(6)} parameter(2)
  %constant.2 = s32[]{:T(128)} constant(0)
  %add.2 = s32[]{:T(128)} add(%param_2.2, %constant.2)
  %bitcast.2 = bf16[1,16,3072]{2,1,0:T(8,128)(2,1)} bitcast(%param_1.2)
  ROOT %dynamic_update_slice.1 = bf16[12,16,3072]{2,1,0:T(8,128)(2,1)} \
dynamic-update-slice(%param_0.2, %bitcast.2, %add.2, %constant.2, %constant.2)
}

%body.1 (param.3: (s32[], bf16[12,16,3072])) -> (s32[], bf16[12,16,3072]) {
  %param.3 = (s32[]{:T(128)}, bf16[12,16,3072]{2,1,0:T(8,128)(2,1)}) parameter(0)
  %get-tuple-element.1 = s32[]{:T(128)} get-tuple-element(%param.3), index=0
  %get-tuple-element.2 = bf16[12,16,3072]{2,1,0:T(8,128)(2,1)} \
get-tuple-element(%param.3), index=1
  %fusion.1 = bf16[16,3072]{1,0:T(8,128)(2,1)S(1)} fusion(%x, %w), kind=kOutput, \
calls=%fused_product.1, metadata={op_name="jit(train_step)/layer/dot_general"}, \
backend_config={"window_config":{"estimated_cycles":"1000"}}
  %fusion.2 = bf16[12,16,3072]{2,1,0:T(8,128)(2,1)} fusion(%get-tuple-element.2, \
%fusion.1, %get-tuple-element.1), kind=kLoop, calls=%fused_stack.1, \
metadata={op_name="jit(train_step)/layer/dynamic_update_slice"}, \
backend_config={"window_config":{"estimated_cycles":"30"}}
  %all-reduce.1 = (f32[768]{0:T(1024)S(1)}, /*index=1*/bf16[768,3072]{1,0:T(8,128)\
(2,1)}) all-reduce(%a, %b), channel_id=7, to_apply=%region_1.1
  ROOT %tuple.1 = (s32[]{:T(128)}, bf16[12,16,3072]{2,1,0:T(8,128)(2,1)}) \
tuple(%get-tuple-element.1, %fusion.2)
}

%condition.1 (param.4: (s32[], bf16[12,16,3072])) -> pred[] {
  %constant.4 = s32[]{:T(128)} constant(12)
  %param.4 = (s32[]{:T(128)}, bf16[12,16,3072]{2,1,0:T(8,128)(2,1)}) parameter(0)
  %get-tuple-element.4 = s32[]{:T(128)} get-tuple-element(%param.4), index=0
  ROOT %lt.1 = pred[]{:T(512)} compare(%get-tuple-element.4, %constant.4), direction=LT
}

%fused_gather.1 (param_0.5: pred[16,1,256]) -> pred[16,16,256] {
  %param_0.5 = pred[16,1,256]{2,1,0:T(4,128)(4,1)} parameter(0)
  ROOT %all-gather.1 = pred[16,16,256]{2,1,0:T(8,128)(4,1)} all-gather(%param_0.5), \
channel_id=41, dimensions={1}
}

%fused_gather.2 (param_0.6: pred[16,1,256]) -> pred[16,16,256] {
  %param_0.6 = pred[16,1,256]{2,1,0:T(4,128)(4,1)} parameter(0)
  ROOT %all-gather.2 = pred[16,16,256]{2,1,0:T(8,128)(4,1)} all-gather(%param_0.6), \
channel_id=41, dimensions={1}
}

%update.1 (param.7: f32[12,3072]) -> f32[12,3072] {
  %param.7 = f32[12,3072]{1,0:T(8,128)} parameter(0)
  ROOT %sub.1 = f32[12,3072]{1,0:T(8,128)} subtract(%param.7, %param.7), \
backend_config={"window_config":{"estimated_cycles":"200"}}
}

%leave.1 (param.8: f32[12,3072]) -> f32[12,3072] {
  ROOT %param.8 = f32[12,3072]{1,0:T(8,128)} parameter(0)
}

ENTRY %main.1_spmd (param.9: f32[12,3072], param.10: bf16[16,768]) -> f32[12,3072] {
  %param.9 = f32[12,3072]{1,0:T(8,128)} parameter(0)
  %param.10 = bf16[16,768]{1,0:T(8,128)(2,1)} parameter(1)
  %copy-start.1 = (bf16[16,768]{1,0:T(8,128)(2,1)S(1)}, bf16[16,768]\
{1,0:T(8,128)(2,1)}, u32[]{:S(2)}) copy-start(%param.10)
  %copy-done.1 = bf16[16,768]{1,0:T(8,128)(2,1)S(1)} copy-done(%copy-start.1)
  %broadcast.9 = bf16[12,16,3072]{2,1,0:T(8,128)(2,1)} broadcast(%zero), \
metadata={op_name="broadcast.9"}, \
backend_config={"window_config":{"estimated_cycles":"500"}}
  %while.1 = (s32[]{:T(128)}, bf16[12,16,3072]{2,1,0:T(8,128)(2,1)}) while(%tuple.9), \
condition=%condition.1, body=%body.1, metadata={op_name="jit(train_step)/while"}
  %copy.1 = f32[32,1,768]{1,0,2:T(8,128)} copy(%y), \
metadata={op_name="jit(train_step)/split"}, \
backend_config={"window_config":{"estimated_cycles":"70"}}
  %fusion.8 = pred[16,16,256]{2,1,0:T(8,128)(4,1)} fusion(%z), kind=kCustom, \
calls=%fused_gather.1
  %fusion.9 = pred[16,16,256]{2,1,0:T(8,128)(4,1)} fusion(%z), kind=kCustom, \
calls=%fused_gather.2
  %mixed.1 = bf16[16,768]{1,0:T(8,128)(2,1)} custom-call(%q, %k), \
custom_call_target="tpu_custom_call", metadata={op_name="jit(train_step)/flash"}
  %all-gather-start.3 = (f32[1,768]{1,0:T(1,128)}, f32[16,768]{1,0:T(8,128)}) \
all-gather-start(%p), channel_id=50, dimensions={0}
  %all-gather-done.3 = f32[16,768]{1,0:T(8,128)} all-gather-done(%all-gather-start.3)
  %psum.1 = f32[16,768]{1,0:T(8,128)} all-reduce(%p), channel_id=1, to_apply=%region_1.1
  %psum.2 = f32[16,768]{1,0:T(8,128)} all-reduce(%q), channel_id=1, to_apply=%region_1.1
  ROOT %conditional.1 = f32[12,3072]{1,0:T(8,128)} conditional(%finite, %param.9, \
%param.9), branch_computations={%update.1, %leave.1}
}
"""
STACK = 12 * 16 * 3072 * 2  # bytes


@pytest.fixture(scope="module")
def program():
    return compiled_text.parse(PROGRAM)


def test_cycles_of_a_loop_count_every_round_and_fusions_are_what_is_in_them(program):
    assert compiled_text.cycles(program) == {
        "products": 12 * 1000,
        "copies": 12 * 30 + 500 + 70,
        "the rest": 200,
    }


def test_the_longest_come_first_with_kind_array_and_origin(program):
    longest = compiled_text.longest(program)
    assert longest[:2] == [
        ("products", "bf16[16,3072]", "jit(train_step)/layer/dot_general", 12, 12_000),
        ("copies", "bf16[12,16,3072]", "broadcast.9", 1, 500),
    ]
    assert sum(instruction.cycles for instruction in longest) == sum(
        compiled_text.cycles(program).values()
    )


def test_copies_come_with_array_origin_and_what_a_step_writes(program):
    copies = compiled_text.copies(program)
    padded = 768 * 32 * 128 * 4  # its one row fills a tile's 128
    assert copies == {
        ("f32[32,1,768] (1, 0, 2)", "jit(train_step)/split"): (1, 1, padded),
        ("bf16[12,16,3072]", "broadcast.9"): (1, 1, STACK),
        # Of the stack a round writes one layer's part.
        ("bf16[12,16,3072]", "jit(train_step)/layer/dynamic_update_slice"): (
            *(1, 12, STACK),
        ),
    }


def test_collectives_are_counted_once_wherever_they_are_fused(program):
    collectives = compiled_text.collectives(program)
    assert collectives == {
        ("all-reduce", "bf16, f32"): (1, 12, 12 * (1024 * 4 + 768 * 3072 * 2)),
        ("all-reduce", "f32"): (2, 2, 2 * 16 * 768 * 4),
        ("all-gather", "pred"): (1, 1, 16 * 16 * 256),
        ("all-gather", "f32"): (1, 1, 16 * 768 * 4),
    }


def test_prefetches_are_no_copies(program):
    assert compiled_text.prefetches(program) == (1, 1, 16 * 768 * 2)


def test_paddings_are_of_arrays_in_hbm_by_what_each_wastes(program):
    paddings = [
        (str(array), array.logical_bytes, array.padded_bytes, count)
        for array, count in compiled_text.paddings(program).items()
    ]
    assert paddings[:2] == [
        ("f32[32,1,768] (1, 0, 2)", 32 * 768 * 4, 768 * 32 * 128 * 4, 1),
        ("f32[12,3072]", 12 * 3072 * 4, 16 * 3072 * 4, 5),
    ]


def test_kernels_are_told_by_name(program):
    assert compiled_text.kernels(program) == {"jit(train_step)/flash": 1}


def test_a_loop_that_does_not_say_its_rounds_is_no_guess():
    endless = PROGRAM.replace("constant(12)", "parameter(1)")
    with pytest.raises(ValueError, match=r"condition\.1"):
        compiled_text.cycles(compiled_text.parse(endless))
