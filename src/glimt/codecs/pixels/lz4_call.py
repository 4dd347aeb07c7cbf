"""Call an LZ4 function from compiled code by its address."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _call_lz4(_context: Any, function: Any, source: Any, target: Any, size: Any, capacity: Any) -> Any:
    """Return ``function(source, target, size, capacity)``; all are integers, the first three addresses."""

    def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
        int32 = ir.IntType(32)
        pointer = ir.IntType(8).as_pointer()
        function_type = ir.FunctionType(int32, [pointer, pointer, int32, int32])
        address, source, target, size, capacity = arguments
        result = builder.call(
            builder.inttoptr(address, function_type.as_pointer()),
            [
                builder.inttoptr(source, pointer),
                builder.inttoptr(target, pointer),
                builder.trunc(size, int32),
                builder.trunc(capacity, int32),
            ],
        )
        return builder.sext(result, ir.IntType(64))

    return types.int64(*[types.int64] * 5), generate


call_lz4: Any = intrinsic(_call_lz4)
