(() => {
  const get = (id, page) => page.getElementById(id);
  const again = async () => {
    try {
      const answer = await fetch(location.href);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const [now, then] = [get("accounts", document), get("accounts", fresh)];
      if (!answer.ok || !then) throw 0;
      const focused = document.activeElement && document.activeElement.id;
      if (now.innerHTML !== then.innerHTML) now.replaceChildren(...then.childNodes);
      if (focused && get(focused, document)) get(focused, document).focus();
      get("summary", document).textContent = get("summary", fresh).textContent;
      if (!then.dataset.busy) return;
    } catch {}
    setTimeout(again, 2000);
  };
  if (get("accounts", document).dataset.busy) setTimeout(again, 2000);
})();
