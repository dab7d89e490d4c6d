/** What a routing key says, as text for people: bounded, in one line, and the same whichever twin has found the key. */
import type { KeySelector } from './kernel.ts';

/** Where a key comes from: the routing's selector, its first fallback, or its last one, which has no key but an identity. */
export const KEY_SOURCES = ['selected', 'service.name', 'resource'] as const;
export type KeySource = (typeof KEY_SOURCES)[number];

/** By the field of AnyValue that holds it. `bytes` is a trace id. */
export const KEY_KINDS = { string: 0x0a, bool: 0x10, int: 0x18, double: 0x21, bytes: 0x3a } as const;
export type KeyKind = keyof typeof KEY_KINDS;

/** Most of a key, in bytes, that its text shows. */
export const NAMED_BYTES = 64;

/** The first NAMED_BYTES of a key's bytes, and how many there are. */
export interface KeyText {
  readonly head: Uint8Array;
  readonly bytes: number;
}

/** Such as `service.name=checkout`, `trace_id=0af7651916cd43dd8448eb211c80319c` or `item:http.route=/cart`. */
export function keyName(
  selector: KeySelector,
  source: 'selected' | 'service.name',
  kind: KeyKind,
  key: KeyText,
): string {
  return `${source === 'selected' ? labelOf(selector) : source}=${valueText(kind, key)}`;
}

/** Of a resource by its identity: what it says of its service instance. */
export function resourceName(service: KeyText, instance: KeyText): string {
  const said = [
    ...(service.bytes > 0 ? [`service.name=${valueText('string', service)}`] : []),
    ...(instance.bytes > 0 ? [`service.instance.id=${valueText('string', instance)}`] : []),
  ];
  return said.length === 0 ? 'a resource without service.name' : `resource of ${said.join(', ')}`;
}

function labelOf(selector: KeySelector): string {
  switch (selector.kind) {
    case 'resource-attribute':
      return `resource:${cut(selector.name)}`;
    case 'item-attribute':
      return `item:${cut(selector.name)}`;
    default:
      return selector.kind;
  }
}

const cut = (name: string) => (name.length <= NAMED_BYTES ? name : `${name.slice(0, NAMED_BYTES).toWellFormed()}…`);

function valueText(kind: KeyKind, { head, bytes }: KeyText): string {
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  switch (kind) {
    case 'bool':
      return head[0] === 0 ? 'false' : 'true';
    case 'int':
      return String(view.getBigInt64(0, true));
    case 'double':
      return String(view.getFloat64(0, true));
    case 'bytes':
      return Buffer.from(head).toString('hex');
    case 'string':
      return `${textOf(head, bytes > head.length)}${bytes > head.length ? '…' : ''}`;
  }
}

/** What is no UTF-8 as hex digits. `isCut`: its last character may be incomplete, and is left out then. */
function textOf(bytes: Uint8Array, isCut: boolean): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: isCut });
    // It stands in log lines and on terminals.
    return text.replace(/\p{Cc}/gu, '\ufffd');
  } catch {
    return `0x${Buffer.from(bytes).toString('hex')}`;
  }
}
