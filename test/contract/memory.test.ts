import { memoryHarness } from './memory.harness.ts';
import { contractSuite } from './suite.ts';

contractSuite('the in-process log', memoryHarness);
