// The component: the handler of tokens.js with the imports that the host provides. The tests give it
// fakes instead.

import * as clock from "keyward:handler/clock@0.1.0";
import * as keys from "keyward:handler/keys@0.1.0";
import * as random from "keyward:handler/random@0.1.0";

import { handler } from "./tokens.js";

export const tokenHandler = handler({ clock, keys, random });
