// Where one is: page and person stand behind the # of the address, which no browser sends anywhere.

/** {page, person, more}: `person` is {tenant, user, agent} or null, `more` what else stands there. */
export function here() {
  const [page, query] = location.hash.replace(/^#\/?/, "").split("?");
  const { tenant = "", user, agent = "default", ...more } = Object.fromEntries(new URLSearchParams(query || ""));
  return { page: page || "people", person: user ? { tenant, user, agent } : null, more };
}

/** The address of a page for a person. */
export function linkTo(page, person, more = {}) {
  const query = new URLSearchParams();
  if (person) {
    if (person.tenant) query.set("tenant", person.tenant);
    query.set("user", person.user);
    if (person.agent !== "default") query.set("agent", person.agent);
  }
  for (const [name, value] of Object.entries(more)) query.set(name, value);
  const text = query.toString();
  return `#/${page}${text ? `?${text}` : ""}`;
}
