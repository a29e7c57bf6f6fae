/**
 * One process that maintains a view in shares: it prints how many it runs whenever that changes, reads its feed from a line of
 * input on, and ends with the next, when it prints how many milliseconds of a core it took in between. Arguments: store as
 * JSON, context, the view's name, its shares.
 */
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { createInterface } from 'node:readline';
import { ConcursusModule, getPortToken, Projections } from '@concursus/core';
import { Gate, moves, Robot, storeOf } from './ratio-model.js';

const [store = '', context = '', name = '', shares = ''] = process.argv.slice(2);
const gate = new Gate();

@Module({
  imports: [
    ConcursusModule.forRoot({ context, persistent: gate.before(storeOf(store)), catalogue: false }),
    ConcursusModule.forFeature([Robot], { context }),
  ],
  providers: [moves(name, Number(shares))],
})
class App {}

const app = await NestFactory.createApplicationContext(App, { logger: ['error', 'warn'] });
const projections = app.get<Projections>(getPortToken(Projections, context));
let told = -1;
const tell = setInterval(() => {
  const runs = projections.sharesHere(name).length;
  if (runs !== told) process.stdout.write(`runs ${runs}\n`);
  told = runs;
}, 20);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
await lines.next();
const before = process.cpuUsage();
gate.open();
await lines.next();
const { user, system } = process.cpuUsage(before);
process.stdout.write(`took ${Math.round((user + system) / 1_000)}\n`);
clearInterval(tell);
await app.close();
process.exit(0);
