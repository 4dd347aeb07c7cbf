"""Eight bit planes to bytes with GF2P8AFFINEQB, on processors that have it (Intel from Ice Lake, AMD from Zen 4).

The instruction multiplies 8 x 8 bit matrices. With the unit matrix as one factor it transposes the other: eight bytes,
each with one bit of eight pixels, become eight pixels.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, GF2P8AFFINEQB.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

_NEEDED = frozenset({"+gfni", "+avx512bw", "+avx512vbmi"})
_LANES = 64


def has_transpose(context: Any) -> bool:
    """Return whether the processor that Numba compiles for has the instruction for 64 bytes at once."""
    features = context.codegen().magic_tuple()[2]  # part of the cache's key, so that compiled code is not mixed up
    return set(features.split(",")) >= _NEEDED


def transposed_column(builder: ir.IRBuilder, planes: ir.Value, stride: ir.Value, byte: int, lanes: int) -> ir.Value:
    """Return byte number ``byte`` of each of 64 elements, made of eight planes; ``lanes`` is 64."""
    word, int32 = ir.IntType(64), ir.IntType(32)
    column_type = ir.VectorType(ir.IntType(8), lanes)
    words: ir.Value = ir.Constant(ir.VectorType(word, 8), ir.Undefined)
    for bit in range(8):
        plane = builder.add(planes, builder.mul(stride, ir.Constant(word, 8 * byte + bit)))
        load = builder.load(builder.inttoptr(plane, word.as_pointer()))
        load.align = 1
        words = builder.insert_element(words, load, ir.Constant(int32, 7 - bit))  # the instruction counts rows down
    order = ir.Constant(ir.VectorType(int32, lanes), [ir.Constant(int32, 8 * (k % 8) + k // 8) for k in range(lanes)])
    matrices = builder.shuffle_vector(
        builder.bitcast(words, column_type), ir.Constant(column_type, ir.Undefined), order
    )
    unit = ir.Constant(column_type, [ir.Constant(ir.IntType(8), 1 << (k % 8)) for k in range(lanes)])
    function_type = ir.FunctionType(column_type, [column_type, column_type, ir.IntType(8)])
    affine = builder.module.globals.get("llvm.x86.vgf2p8affineqb.512") or ir.Function(
        builder.module, function_type, "llvm.x86.vgf2p8affineqb.512"
    )
    return builder.call(affine, [unit, matrices, ir.Constant(ir.IntType(8), 0)])
