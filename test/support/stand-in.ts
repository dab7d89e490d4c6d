/** The same but for `over`. Not by inheritance: Kafka's objects have private fields. */
export function standIn<T extends object>(target: T, over: Partial<T>): T {
  return new Proxy(target, {
    get(_, name) {
      if (Object.hasOwn(over, name)) return over[name as keyof T];
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
