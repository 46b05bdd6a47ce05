"""The matrices of bench_rank, made again."""


def make(np, seed, rows, cols, density):
    """The matrix that bench_rank makes of the same seed. density: of 256 elements."""
    x = np.empty((rows, cols), np.float32)
    step = max(1, (1 << 22) // cols)
    with np.errstate(over="ignore"):
        for r in range(0, rows, step):
            n = min(step, rows - r) * cols
            z = np.arange(r * cols + 1, r * cols + 1 + n, dtype=np.uint64) + np.uint64(seed << 40)
            z *= np.uint64(0x9e3779b97f4a7c15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
            z ^= z >> np.uint64(31)
            size = (1 + ((z >> np.uint64(8)) & np.uint64(3))).astype(np.float32)
            sign = np.where(z >> np.uint64(63), np.float32(-1), np.float32(1))
            value = np.ldexp(sign * size, -14 - ((z >> np.uint64(16)) & np.uint64(3)).astype(np.int32))
            part = np.where((z & np.uint64(255)) < density, value, np.float32(0))
            x[r:r + n // cols] = part.reshape(-1, cols)
    return x
