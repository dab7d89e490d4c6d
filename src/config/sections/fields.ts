/**
 * What settings are made of. Metadata beside the description: `allowed` (in words, where the schema's own limits do not say it) and
 * `secret` (never shown in a text or a log).
 */
import { z } from 'zod';

export const MiB = 1024 * 1024;

declare module 'zod' {
  interface GlobalMeta {
    /** What is allowed, in words, where the schema's limits do not say it. */
    allowed?: string;
    /** Never shown in a text or a log. */
    secret?: boolean;
  }
}

export const text = () => z.string().min(1);
export const port = (usual: number) => z.number().int().min(0).max(65_535).default(usual);
export const positive = (usual: number) => z.number().int().positive().default(usual);
export const share = (usual: number) => z.number().min(0).max(1).default(usual);
