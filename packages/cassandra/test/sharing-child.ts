/**
 * An application that maintains the views of `sharing-model.ts` until it is killed; on a line of input it closes and ends. It
 * prints which shares of which views it runs whenever that changes. Arguments: keyspace, context.
 */
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ConcursusModule, getPortToken, Projections } from '@concursus/core';
import { cassandra } from '../src/index.js';
import { Robot, VIEWS } from './sharing-model.js';
import { specOptions } from './support.js';

const [keyspace = '', context = ''] = process.argv.slice(2);

@Module({
  imports: [
    ConcursusModule.forRoot({ context, persistent: cassandra(specOptions({ keyspace })) }),
    ConcursusModule.forFeature([Robot], { context }),
  ],
  providers: [...VIEWS],
})
class App {}

const app = await NestFactory.createApplicationContext(App, { logger: ['error', 'warn'] });
const projections = app.get<Projections>(getPortToken(Projections, context));
let told = '';
const tell = setInterval(() => {
  const shares = projections.names.flatMap((name) => projections.sharesHere(name).map((share) => `${name} ${share}`));
  const runs = JSON.stringify(shares);
  if (runs !== told) process.stdout.write(`runs ${runs}\n`);
  told = runs;
}, 20);
process.stdin.once('data', () => {
  clearInterval(tell);
  void app.close().then(() => process.exit(0));
});
