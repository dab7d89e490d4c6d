/**
 * The settings that have a flag of their own. Free of imports, so that `weir --help` needs no schema. Each flag has an
 * environment variable as well: `--grpc-port` is WEIR_GRPC_PORT.
 */
export interface SettingFlag {
  /** As commander names its value. */
  readonly name:
    | 'kafka'
    | 'prefix'
    | 'host'
    | 'grpcPort'
    | 'httpPort'
    | 'apiPort'
    | 'demo'
    | 'workers'
    | 'dataDir'
    | 'logLevel';
  readonly flag: string;
  /** The setting's key. */
  readonly key: string;
  /** Absent: the flag stands for `false`. */
  readonly argument?: string;
  readonly help: string;
  /** What it is of use to; the others take it too, so that all may be started alike, but their help is silent about it. Absent: to all. */
  readonly roles?: readonly string[];
}

export const SETTING_FLAGS: readonly SettingFlag[] = [
  {
    name: 'kafka',
    flag: '--kafka',
    key: 'kafka.brokers',
    argument: '<brokers>',
    help: 'HOST:PORT[,HOST:PORT...], embedded, memory or auto (default: auto)',
  },
  {
    name: 'prefix',
    flag: '--prefix',
    key: 'prefix',
    argument: '<text>',
    help: 'begins every topic, group and transactional id',
  },
  { name: 'host', flag: '--host', key: 'host', argument: '<address>', help: 'listen here (default: 127.0.0.1)' },
  {
    name: 'grpcPort',
    flag: '--grpc-port',
    key: 'grpcPort',
    argument: '<n>',
    help: 'OTLP/gRPC (default: 4317; 0: any)',
    roles: ['up', 'bridge'],
  },
  {
    name: 'httpPort',
    flag: '--http-port',
    key: 'httpPort',
    argument: '<n>',
    help: 'OTLP/HTTP (default: 4318; 0: any)',
    roles: ['up', 'bridge'],
  },
  { name: 'apiPort', flag: '--api-port', key: 'apiPort', argument: '<n>', help: 'API (default: 8080; 0: any)' },
  { name: 'demo', flag: '--no-demo', key: 'demo', help: 'send no demo traffic', roles: ['up'] },
  {
    name: 'workers',
    flag: '--workers',
    key: 'process.workers',
    argument: '<n>',
    help: 'worker processes (default: one a core)',
    roles: ['process'],
  },
  {
    name: 'dataDir',
    flag: '--data-dir',
    key: 'kafka.embedded.dataDir',
    argument: '<dir>',
    help: 'where the embedded broker keeps its data',
  },
  {
    name: 'logLevel',
    flag: '--log-level',
    key: 'log.level',
    argument: '<level>',
    help: 'trace, debug, info, warn, error, fatal or silent (default: info)',
  },
];

/** Values of flags as the command line has them: texts, and `false` for `--no-demo`. */
export type SettingFlagValues = Partial<Record<SettingFlag['name'], string | boolean>>;
