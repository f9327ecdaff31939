// breaks: markup-from-data, markup-from-data, markup-from-data
box.innerHTML = answer.text;
box.insertAdjacentHTML("beforeend", answer.text);
eval(answer.text);
// breaks: address-from-data, address-from-data
location.href = button.dataset.next;
window.addEventListener("message", hear);
