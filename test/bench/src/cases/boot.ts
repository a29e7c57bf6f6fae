/** G15: what the module adds to the start of an application of 200 providers. */
import 'reflect-metadata';
import { Injectable, Module, type DynamicModule, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ConcursusModule, inMemory } from '@concursus/core';
import type { BenchCase, Round, Side } from '../case.js';
import { spreadOf } from '../harness.js';
import { now } from '../measure.js';
import { ByWattage, Lightbulb } from '../model.js';

const METHODS = 10;
const PROVIDERS_A_MODULE = 10;

function appOf(providers: number, imports: readonly (DynamicModule | Type)[], extra: readonly Type[]): Type {
  const modules: Type[] = [];
  for (let m = 0; m < providers / PROVIDERS_A_MODULE; m++) {
    const made: Type[] = [];
    for (let p = 0; p < PROVIDERS_A_MODULE; p++) {
      class Provider {}
      for (let k = 0; k < METHODS; k++) Object.defineProperty(Provider.prototype, `method${k}`, { value: () => k });
      Injectable()(Provider);
      if (p > 0) Reflect.defineMetadata('design:paramtypes', [made[p - 1]], Provider);
      made.push(Provider);
    }
    class Feature {}
    Module({ providers: made, exports: made })(Feature);
    modules.push(Feature);
  }
  class AppModule {}
  Module({ imports: [...imports, ...modules], providers: [...extra] })(AppModule);
  return AppModule;
}

async function boot(providers: number, withModule: boolean): Promise<{ readonly ns: number; close(): Promise<void> }> {
  const cls = withModule
    ? appOf(
        providers,
        [ConcursusModule.forRoot({ persistent: inMemory() }), ConcursusModule.forFeature([Lightbulb])],
        [ByWattage],
      )
    : appOf(providers, [], []);
  const start = now();
  const app = await NestFactory.createApplicationContext(cls, { logger: false });
  return { ns: now() - start, close: () => app.close() };
}

function side(name: string, part: Side['part'], providers: number, withModule: boolean): Side {
  return {
    name,
    part,
    round(): Round {
      let booted: { close(): Promise<void> } | undefined;
      return {
        operations: 1,
        run: async () => {
          booted = await boot(providers, withModule);
        },
        done: () => booted?.close(),
      };
    },
  };
}

/** Both in turn; the median of the differences of neighbours. */
async function addedMs(providers: number, rounds: number): Promise<number> {
  const added: number[] = [];
  for (let r = 0; r < rounds; r++) {
    const ms: number[] = [];
    for (const withModule of r % 2 === 0 ? [true, false] : [false, true]) {
      const booted = await boot(providers, withModule);
      await booted.close();
      if (withModule) ms.unshift(booted.ns / 1e6);
      else ms.push(booted.ns / 1e6);
    }
    added.push(ms[0]! - ms[1]!);
  }
  return Math.round(spreadOf(added).median * 100) / 100;
}

export const bootCases: readonly BenchCase[] = [
  {
    id: 'boot/providers=200',
    operation: 'one application context made',
    sides: () => [side('ours', 'ours', 200, true), side('plain Nest', 'bare', 200, false)],
    values: async (context) => {
      // The first boot of a process pays for compiling too: it is told apart.
      const rounds = context.quick ? 21 : 61;
      return { 'added to a boot, ms': await addedMs(200, rounds) };
    },
  },
  {
    id: 'boot/first of a process',
    operation: 'the first application context of a process',
    values: async () => {
      const plain = await boot(200, false);
      await plain.close();
      const whole = await boot(200, true);
      await whole.close();
      return {
        'first with the module after a plain one, ms': Math.round(whole.ns / 1e5) / 10,
        'plain, ms': Math.round(plain.ns / 1e5) / 10,
      };
    },
  },
];
