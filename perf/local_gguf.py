"""A GGUF file with its matrices in 16 bits; run by ``perf/local.py`` in an environment apart.

python perf/local_gguf.py FILE.gguf NEW.gguf BF16|F16
"""

from __future__ import annotations

import sys
from typing import Any

import gguf as package  # pyright: ignore[reportMissingImports] - only there
import numpy as np

source, target, form = sys.argv[1:]
gguf: Any = package
reader = gguf.GGUFReader(source)
architecture = reader.get_field("general.architecture").contents()
writer = gguf.GGUFWriter(target, architecture)
for field in reader.fields.values():
    if field.name == "general.architecture" or field.name.startswith("GGUF."):
        continue
    kind, inner = field.types[0], field.types[-1]
    array = gguf.GGUFValueType.ARRAY
    value = field.contents()
    if field.name == "general.file_type":
        value = gguf.LlamaFileType[f"MOSTLY_{form}"].value
    writer.add_key_value(field.name, value, kind, sub_type=inner if kind == array else None)
wanted = gguf.GGMLQuantizationType[form]
for tensor in reader.tensors:
    exact = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    if exact.ndim > 1:
        writer.add_tensor(tensor.name, gguf.quants.quantize(exact, wanted), raw_dtype=wanted)
    else:
        writer.add_tensor(tensor.name, exact)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
