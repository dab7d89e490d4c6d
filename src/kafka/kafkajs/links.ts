import { type BrokerAddress, Link, type LinkSettings } from './link.ts';
import { asError, ConnectionFault } from './outcomes.ts';

/**
 * One set of connections, at most one to each broker. A broker serves one connection's requests one by one, and JoinGroup
 * and a waiting Fetch block it: each group membership and each fetcher has a set of its own, all else shares one.
 */
export class Links {
  readonly #settings: LinkSettings;
  readonly #links = new Map<string, Promise<Link>>();
  #closed = false;

  constructor(settings: LinkSettings) {
    this.#settings = settings;
  }

  /** Throws ConnectionFault or WeirError KAFKA_AUTH. Callers that come together share the attempt. */
  async to(address: BrokerAddress): Promise<Link> {
    const at = `${address.host}:${address.port}`;
    const known = this.#links.get(at);
    if (known) {
      const link = await known;
      if (link.usable) return link;
      if (this.#links.get(at) === known) {
        this.#links.delete(at);
        // Not destroyed: a connection that is only due for re-authentication still has answers to give.
        link.close().catch((error) => this.#settings.log.debug({ err: asError(error) }, 'closing a connection'));
      }
      return this.to(address);
    }
    if (this.#closed) throw new ConnectionFault('closed', { sent: false });
    const opening = Link.open(address, this.#settings);
    this.#links.set(at, opening);
    try {
      const link = await opening;
      if (this.#closed) await link.close();
      return link;
    } catch (error) {
      if (this.#links.get(at) === opening) this.#links.delete(at);
      throw error;
    }
  }

  /** Breaks the connections at once; what is pending fails. */
  destroy(): void {
    this.#closed = true;
    for (const opening of this.#links.values()) {
      opening.then(
        (link) => link.destroy(new ConnectionFault('closed', { sent: true })),
        () => 'it failed by itself, and told its caller',
      );
    }
    this.#links.clear();
  }

  /** Lets pending requests end first. */
  async close(): Promise<void> {
    this.#closed = true;
    const links = await Promise.allSettled(this.#links.values());
    this.#links.clear();
    await Promise.all(links.map((opened) => (opened.status === 'fulfilled' ? opened.value.close() : undefined)));
  }
}
