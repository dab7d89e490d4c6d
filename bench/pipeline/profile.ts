/** Where the time of a process's JS threads goes, from the profiles that `node --cpu-prof` writes when it ends: one for each thread. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const PARTS = ['kernel', 'checksum', 'sockets', 'Buffers', 'GC', 'Kafka client', 'rest'] as const;
export type Part = (typeof PARTS)[number];
/** Shares of the time in which they were not idle. */
export type Breakdown = Readonly<Record<Part, number>>;

interface Frame {
  readonly functionName: string;
  readonly url: string;
}

interface Profile {
  readonly startTime: number;
  readonly nodes: readonly { readonly id: number; readonly callFrame: Frame; readonly children?: readonly number[] }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/**
 * Within the window (us of process.hrtime, which is V8's clock, too). Shares, not seconds: the profiler's clock goes on while
 * a thread that wants to run has to wait for a core.
 */
export function breakdownOf(folder: string, [fromUs, toUs]: readonly [number, number]): Breakdown {
  const busyUs = new Map<Part, number>();
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'))) {
    const profile: Profile = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    const parts = partsOf(profile);
    let atUs = profile.startTime;
    profile.samples.forEach((node, i) => {
      const spentUs = profile.timeDeltas[i]!;
      atUs += spentUs;
      const part = parts.get(node);
      if (part && part !== 'idle' && atUs >= fromUs && atUs <= toUs)
        busyUs.set(part, (busyUs.get(part) ?? 0) + spentUs);
    });
  }
  const all = [...busyUs.values()].reduce((sum, us) => sum + us, 0);
  return Object.fromEntries(PARTS.map((part) => [part, (busyUs.get(part) ?? 0) / all])) as Breakdown;
}

/** Node's own functions, native ones and WASM count as what calls them. */
function partsOf({ nodes }: Profile): Map<number, Part | 'idle'> {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parts = new Map<number, Part | 'idle'>();
  const visit = (id: number, caller: Part) => {
    const { callFrame, children = [] } = byId.get(id)!;
    const part = partOf(callFrame, caller);
    parts.set(id, part);
    for (const child of children) visit(child, part === 'idle' ? caller : part);
  };
  visit(nodes[0]!.id, 'rest');
  return parts;
}

function partOf({ functionName, url }: Frame, caller: Part): Part | 'idle' {
  if (functionName === '(idle)') return 'idle';
  if (functionName === '(garbage collector)') return 'GC';
  // Outside of JS and not idle: libuv, which reads the sockets, before it calls back.
  if (functionName === '(program)') return 'sockets';
  if (url.includes('/kernels/crc32c/') || /crc/i.test(functionName)) return 'checksum';
  if (url.includes('/kernels/') && caller !== 'checksum') return 'kernel';
  if (SOCKET_MODULES.test(url)) return 'sockets';
  if (BUFFER_MODULES.test(url)) return 'Buffers';
  if (url.includes('/kafka/') || url.includes('/kafkajs/')) return 'Kafka client';
  return url.startsWith('file:') ? 'rest' : caller;
}

/** Allocating and copying, by whomever. */
const BUFFER_MODULES = /^node:(internal\/)?buffer$/;
const SOCKET_MODULES = /^node:(net|stream|internal\/(streams|stream_base|net|js_stream))/;
