<?php
// One script answers everything, as frameworks have it.
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
switch (true) {
    case $path === '/missing':
        http_response_code(404);
        echo 'not here';
        break;
    case $path === '/broken':
        throw new Exception('on purpose');
    case $path === '/noisy':
        error_log('something to complain about');
        echo 'fine';
        break;
    case $path === '/large':
        echo str_repeat('x', 200000);
        break;
    case $_SERVER['REQUEST_METHOD'] === 'POST':
        echo strlen(file_get_contents('php://input'));
        break;
    default:
        echo 'hello';
}
