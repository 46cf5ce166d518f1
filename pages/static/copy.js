// Copies a new token. Without this script, the token can be selected and copied by hand.
(() => {
  const token = document.getElementById("token");
  const button = document.getElementById("copy");
  const status = document.getElementById("copied");
  token.focus();
  token.select();
  button.hidden = false;
  button.addEventListener("click", async () => {
    token.focus();
    token.select();
    try {
      // Only over https and on localhost.
      await navigator.clipboard.writeText(token.value);
      status.textContent = "Copied.";
    } catch {
      const copied = document.execCommand && document.execCommand("copy");
      status.textContent = copied ? "Copied." : "Selected: copy it with Ctrl+C.";
    }
  });
})();
