/** The kernels that are measured, as `--only` names them. */
export const KERNELS = ['split', 'hash', 'crc32c', 'aggregate', 'ring', 'score'] as const;
