/** Whether a request is taken in at all, and for which tenant: decided by its headers, before its body is read. */
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { type Credentials, openCredentials } from './credentials.ts';

/** The record header (among routing.keepHeaders) that says whose a request is. */
export const TENANT_HEADER = 'tenant';

export type HeaderValue = (name: string) => Uint8Array | undefined;

/** What is known of a request before its body. */
export interface Visit {
  readonly authorization: string | undefined;
  /** Its connection has shown a client certificate of bridge.tls.clientCaFile. */
  readonly certified: boolean;
  readonly header: HeaderValue;
}

export type Admitted =
  /** `header` is what the request is stored with: its own headers, but the tenant as it was found out. */
  { readonly kind: 'admitted'; readonly header: HeaderValue } | { readonly kind: 'refused'; readonly message: string };

export interface Admission {
  admit(visit: Visit): Admitted;
  /** For WWW-Authenticate; null when anybody may send. */
  readonly challenge: string | null;
  close(): void;
}

/**
 * With credentials every request must show one; a client certificate stands for one where it is not required of everybody.
 * The tenant is the credential's. Where that has none, it comes from the header that `bridge.tenantFromHeader` names, and
 * without that setting from nowhere: else whoever may send could send as anyone.
 */
export async function openAdmission({ bridge }: Pick<Config, 'bridge'>, log: Logger): Promise<Admission> {
  const { credentialsFile } = bridge.auth;
  const credentials = credentialsFile === undefined ? null : await openCredentials(credentialsFile, log);
  const certificateSuffices = !bridge.tls.requireClientCert;
  const tenantFrom = bridge.tenantFromHeader?.toLowerCase();

  return {
    admit({ authorization, certified, header }) {
      const caller = callerOf(credentials, authorization);
      if (credentials !== null && caller === null && !(certificateSuffices && certified)) {
        const wanted =
          'with the credentials of one that bridge.auth.credentialsFile lists, in the Authorization header';
        const found = authorization === undefined ? 'it has none' : 'its own are not among them';
        return { kind: 'refused', message: `the request must come ${wanted}; ${found}` };
      }
      const tenant = caller?.tenant ?? null;
      const assigned = tenant === null ? undefined : Buffer.from(tenant);
      return {
        kind: 'admitted',
        header(name) {
          if (name !== TENANT_HEADER) return header(name);
          return assigned ?? (tenantFrom === undefined ? undefined : header(tenantFrom));
        },
      };
    },
    get challenge() {
      return credentials?.challenge ?? null;
    },
    close: () => credentials?.stop(),
  };
}

function callerOf(credentials: Credentials | null, authorization: string | undefined) {
  return credentials === null || authorization === undefined ? null : credentials.callerOf(authorization);
}
