"""Commercial detectors that PONI files call by name: shape and pixel size, as pyFAI 2026.9 has them."""

from __future__ import annotations

from typing import NamedTuple


class KnownDetector(NamedTuple):
    """Shape (slow, fast) [px] and the size of its square pixels."""

    shape: tuple[int, int]
    pixel_size_m: float


KNOWN_DETECTORS: dict[str, KnownDetector] = {
    name.lower(): KnownDetector((slow, fast), pixel_size_m)
    for name, slow, fast, pixel_size_m in (
        ("ADSC_Q210", 4096, 4096, 5.1e-05),
        ("ADSC_Q270", 4168, 4168, 5.1e-05),
        ("ADSC_Q315", 6144, 6144, 5.1e-05),
        ("ADSC_Q4", 2304, 2304, 5.1e-05),
        ("Dexela2923", 3888, 3072, 7.5e-05),
        ("Eiger16M", 4371, 4150, 7.5e-05),
        ("Eiger1M", 1065, 1030, 7.5e-05),
        ("Eiger2CdTe_16M", 4362, 4148, 7.5e-05),
        ("Eiger2CdTe_1M", 1062, 1028, 7.5e-05),
        ("Eiger2CdTe_1MW", 512, 2068, 7.5e-05),
        ("Eiger2CdTe_2MW", 512, 4148, 7.5e-05),
        ("Eiger2CdTe_4M", 2162, 2068, 7.5e-05),
        ("Eiger2CdTe_500k", 512, 1028, 7.5e-05),
        ("Eiger2CdTe_9M", 3262, 3108, 7.5e-05),
        ("Eiger2_16M", 4362, 4148, 7.5e-05),
        ("Eiger2_1M", 1062, 1028, 7.5e-05),
        ("Eiger2_1MW", 512, 2068, 7.5e-05),
        ("Eiger2_250k", 512, 512, 7.5e-05),
        ("Eiger2_2MW", 512, 4148, 7.5e-05),
        ("Eiger2_4M", 2162, 2068, 7.5e-05),
        ("Eiger2_500k", 512, 1028, 7.5e-05),
        ("Eiger2_9M", 3262, 3108, 7.5e-05),
        ("Eiger4M", 2167, 2070, 7.5e-05),
        ("Eiger500k", 514, 1030, 7.5e-05),
        ("Eiger9M", 3269, 3110, 7.5e-05),
        ("HF_130K", 256, 512, 0.00015),
        ("HF_1M", 1024, 1024, 0.00015),
        ("HF_262k", 512, 512, 0.00015),
        ("HF_2M", 1536, 1536, 0.00015),
        ("HF_4M", 2048, 2048, 0.00015),
        ("HF_9M", 3072, 3072, 0.00015),
        ("Jungfrau1M", 1064, 1030, 7.5e-05),
        ("Jungfrau4M", 2164, 2068, 7.5e-05),
        ("Lambda10M", 2596, 4676, 5.5e-05),
        ("Lambda250k", 516, 516, 5.5e-05),
        ("Lambda2M", 1556, 1556, 5.5e-05),
        ("Lambda60k", 256, 256, 5.5e-05),
        ("Lambda750k", 516, 1556, 5.5e-05),
        ("Lambda7M5", 2596, 2596, 5.5e-05),
        ("Lambda9M", 3868, 3227, 5.5e-05),
        ("Mar345", 3450, 3450, 0.0001),
        ("Perkin", 4096, 4096, 0.0002),
        ("Pilatus100k", 195, 487, 0.000172),
        ("Pilatus1M", 1043, 981, 0.000172),
        ("Pilatus200k", 407, 487, 0.000172),
        ("Pilatus2M", 1679, 1475, 0.000172),
        ("Pilatus300k", 619, 487, 0.000172),
        ("Pilatus300kw", 195, 1475, 0.000172),
        ("Pilatus4_1M", 1080, 1033, 0.00015),
        ("Pilatus4_260k", 530, 513, 0.00015),
        ("Pilatus4_260kw", 255, 1033, 0.00015),
        ("Pilatus4_2M", 1630, 1553, 0.00015),
        ("Pilatus4_4M", 2180, 2073, 0.00015),
        ("Pilatus4_CdTe_1M", 1080, 1033, 0.00015),
        ("Pilatus4_CdTe_260k", 530, 513, 0.00015),
        ("Pilatus4_CdTe_260kw", 255, 1033, 0.00015),
        ("Pilatus4_CdTe_2M", 1630, 1553, 0.00015),
        ("Pilatus4_CdTe_4M", 2180, 2073, 0.00015),
        ("Pilatus6M", 2527, 2463, 0.000172),
        ("Pilatus900k", 619, 1475, 0.000172),
        ("PilatusCdTe1M", 1043, 981, 0.000172),
        ("PilatusCdTe2M", 1679, 1475, 0.000172),
        ("PilatusCdTe300k", 619, 487, 0.000172),
        ("PilatusCdTe300kw", 195, 1475, 0.000172),
        ("PilatusCdTe900kw", 195, 4439, 0.000172),
        ("Pixium", 1910, 2480, 0.000308),
        ("Rayonix133", 4096, 4096, 6.4e-05),
        ("RayonixLx170", 1920, 3840, 4.42708e-05),
        ("RayonixLx255", 1920, 5760, 4.42708e-05),
        ("RayonixMx170", 3840, 3840, 4.42708e-05),
        ("RayonixMx225", 6144, 6144, 7.3242e-05),
        ("RayonixMx225hs", 5760, 5760, 7.8125e-05),
        ("RayonixMx300", 8192, 8192, 7.3242e-05),
        ("RayonixMx300hs", 7680, 7680, 7.8125e-05),
        ("RayonixMx325", 8192, 8192, 7.9346e-05),
        ("RayonixMx340hs", 7680, 7680, 8.85417e-05),
        ("RayonixMx425hs", 9600, 9600, 4.42708e-05),
        ("RayonixSx165", 4096, 4096, 3.95e-05),
        ("RayonixSx200", 4096, 4096, 4.8e-05),
        ("RayonixSx30hs", 1920, 1920, 1.5625e-05),
        ("RayonixSx85hs", 1920, 1920, 4.42708e-05),
        ("Titan", 2048, 2048, 6e-05),
    )
}
"""By name in lower case; all have square pixels on a regular grid, gaps between modules included."""
