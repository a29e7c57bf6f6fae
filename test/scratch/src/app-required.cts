/** The same packages from CommonJS, by `require`: one module, one event, one answer. Its last line of output is `ok`. */
require('reflect-metadata');
import assert = require('node:assert/strict');
import core = require('@concursus/core');
import common = require('@nestjs/common');
import nest = require('@nestjs/core');

@core.Event()
class Lit {
  constructor(readonly room: string) {}
}

@core.Aggregate('lamp')
class Lamp {
  static readonly events = { Lit };
  room = '';

  @core.EventHandler(Lit)
  lit(event: Lit): void {
    this.room = event.room;
  }
}

@common.Module({ imports: [core.ConcursusModule.forRoot(), core.ConcursusModule.forFeature([Lamp])] })
class AppModule {}

async function main(): Promise<void> {
  const app = await nest.NestFactory.createApplicationContext(AppModule, { logger: false });
  await app
    .get(core.EventBus)
    .for(Lamp, 'lamp-1')
    .record(core.at('2026-11-23T18:00:00Z', new Lit('hall')));
  assert.equal((await app.get(core.States).get(Lamp, 'lamp-1'))?.state.room, 'hall');
  await app.close();
  process.stdout.write('ok\n');
}

void main();
