/**
 * Every setting, its default, what is allowed and what it means; each section is in a file of `config/sections/`. `config/load.ts` fills
 * them from flags, environment, file and defaults, in that order of precedence; `config/settings.ts` derives the documentation's tables, the
 * environment's names and the texts of errors from them. Units stand in the names.
 */
import { z } from 'zod';
import { bridgeSchema } from './config/sections/bridge.ts';
import { controlSchema } from './config/sections/control.ts';
import { port, text } from './config/sections/fields.ts';
import { kafkaSchema } from './config/sections/kafka.ts';
import { loadSchema, pollSchema, processSchema } from './config/sections/process.ts';
import { routingSchema } from './config/sections/routing.ts';
import { topicsSchema } from './config/sections/topics.ts';

export const configSchema = z
  .strictObject({
    prefix: z
      .string()
      .regex(/^[a-zA-Z0-9._-]{0,100}$/)
      .meta({ allowed: 'letters, digits, ".", "_" and "-", at most 100' })
      .default('')
      .describe('begins every topic, group and transactional id, so that installations share a cluster'),
    host: text().default('127.0.0.1').describe('address that bridge and API listen on'),
    grpcPort: port(4317).describe('OTLP/gRPC; 0 picks a free port'),
    httpPort: port(4318).describe('OTLP/HTTP; 0 picks a free port'),
    apiPort: port(8080).describe('API, metrics and health; 0 picks a free port'),
    demo: z.boolean().default(true).describe('`weir up` only: send the traffic of a small simulated shop'),
    kafka: kafkaSchema,
    topics: topicsSchema,
    routing: routingSchema,
    poll: pollSchema,
    bridge: bridgeSchema,
    process: processSchema,
    load: loadSchema,
    control: controlSchema,
    api: z
      .strictObject({
        token: z
          .string()
          .min(16)
          .optional()
          .meta({ description: 'what changes from off loopback must show', secret: true }),
      })
      .prefault({}),
    log: z
      .strictObject({
        level: z
          .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
          .default('info')
          .describe('least level of a log line'),
      })
      .prefault({}),
  })
  .superRefine((config, context) => {
    const taken = new Map<number, string>();
    for (const key of ['grpcPort', 'httpPort', 'apiPort'] as const) {
      const other = taken.get(config[key]);
      if (other) context.addIssue({ code: 'custom', path: [key], message: `a port other than ${other}'s` });
      if (config[key] !== 0) taken.set(config[key], key);
    }
    const { auth, tenantFromHeader } = config.bridge;
    if ((auth.credentialsFile ?? tenantFromHeader) && !config.routing.keepHeaders.includes('tenant'))
      context.addIssue({
        code: 'custom',
        path: ['routing', 'keepHeaders'],
        message: 'a list with "tenant", as the bridge is told of tenants: without it shard records would mix them',
      });
  });

export type Config = z.infer<typeof configSchema>;
/** As a user writes it: every key may be missing. */
export type ConfigInput = z.input<typeof configSchema>;

export const defaultConfig = (over: ConfigInput = {}): Config => configSchema.parse(over);
