/// <reference path="./interfaces/keyward-handler-clock.d.ts" />
/// <reference path="./interfaces/keyward-handler-digest.d.ts" />
/// <reference path="./interfaces/keyward-handler-keys.d.ts" />
/// <reference path="./interfaces/keyward-handler-log.d.ts" />
/// <reference path="./interfaces/keyward-handler-random.d.ts" />
/// <reference path="./interfaces/keyward-handler-settings.d.ts" />
/// <reference path="./interfaces/keyward-handler-token-handler.d.ts" />
/// <reference path="./interfaces/keyward-handler-types.d.ts" />
declare module 'keyward:handler/component@0.1.0' {
  export type * as KeywardHandlerClock010 from 'keyward:handler/clock@0.1.0'; // import keyward:handler/clock@0.1.0
  export type * as KeywardHandlerDigest010 from 'keyward:handler/digest@0.1.0'; // import keyward:handler/digest@0.1.0
  export type * as KeywardHandlerKeys010 from 'keyward:handler/keys@0.1.0'; // import keyward:handler/keys@0.1.0
  export type * as KeywardHandlerLog010 from 'keyward:handler/log@0.1.0'; // import keyward:handler/log@0.1.0
  export type * as KeywardHandlerRandom010 from 'keyward:handler/random@0.1.0'; // import keyward:handler/random@0.1.0
  export type * as KeywardHandlerSettings010 from 'keyward:handler/settings@0.1.0'; // import keyward:handler/settings@0.1.0
  export type * as KeywardHandlerTypes010 from 'keyward:handler/types@0.1.0'; // import keyward:handler/types@0.1.0
  export * as tokenHandler from 'keyward:handler/token-handler@0.1.0'; // export keyward:handler/token-handler@0.1.0
}
